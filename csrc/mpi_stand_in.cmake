# lib/libmpi*.so.N, stand-ins without code, where Gloo was built with MPI (Debian 13, Ubuntu 24.04).
#
# Gloo names MPI for a way of finding its peers that we never take, and is bound at load time. The
# real library pulls in UCX, which loads modules, libfuse and the GPU libraries of others from the
# system: none of that could travel with the program. $ORIGIN is searched before the system.

function(add_mpi_stand_in gloo)
  execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${gloo} OUTPUT_VARIABLE needed)
  string(REGEX MATCHALL "libmpi[a-z_]*\\.so\\.[0-9]+" sonames "${needed}") # C, and C++ bindings
  if(NOT sonames)
    return()
  endif()
  execute_process(COMMAND ${CMAKE_NM} -D --undefined-only ${gloo} OUTPUT_VARIABLE undefined)
  string(REGEX MATCHALL "U (MPI_|_ZN3MPI)[A-Za-z0-9_]+" functions "${undefined}")
  string(REGEX MATCHALL "U ompi_[A-Za-z0-9_]+" objects "${undefined}")
  list(TRANSFORM functions REPLACE "U (.*)" "FUNCTION(\\1)\n")
  list(TRANSFORM objects REPLACE "U (.*)" "OBJECT(\\1)\n")
  string(CONCAT source "#include <stdlib.h>\n"
    "#define FUNCTION(name) void name(void) { abort(); }\n"
    "#define OBJECT(name) char name[8];\n"
    ${functions} ${objects})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/mpi_stand_in.c CONTENT "${source}" @ONLY)
  foreach(soname ${sonames})
    add_library(${soname} SHARED ${CMAKE_BINARY_DIR}/mpi_stand_in.c)
    set_target_properties(${soname} PROPERTIES
      PREFIX "" OUTPUT_NAME ${soname} SUFFIX "" NO_SONAME ON
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
    target_link_options(${soname} PRIVATE -Wl,-soname,${soname})
  endforeach()
endfunction()
