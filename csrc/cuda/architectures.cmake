# Devices to build for with an nvcc of this version. Code for compute capability 8.0 runs on 8.6, 8.7
# and 8.9 too (a binary runs on later minor versions of its major one); the driver translates
# compute_90 for whatever follows 9.0. CUDA 12 is the last that compiles for 7.0 (V100).
function(architectures_for nvcc_version out)
  set(architectures 75-real 80-real 90)
  if(nvcc_version VERSION_LESS 13)
    list(PREPEND architectures 70-real)
  endif()
  set(${out} ${architectures} PARENT_SCOPE)
endfunction()
