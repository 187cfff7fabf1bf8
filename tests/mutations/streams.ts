/** Bugs in streams, memory and communication. @module */
import type { Mode, Mutation } from "./mutation.ts";

const MEMORY = "cuda/memory.cu";
const COMM = "cuda/comm.cu";
const COLLECTIVES = "cuda/comm_collectives.cu";
const TRANSFERS = "cuda/comm_transfers.cu";
const late: readonly Mode[] = ["deferred", "plain"];
const plain: readonly Mode[] = ["plain", "deferred"];
const streams = ["cuda/streams_test.ts"] as const;
const collectives = ["cuda/communicator_test.ts", "collectives of NCCL among 2"] as const;
const transfers = ["cuda/communicator_test.ts", "ranks of 2, deferred"] as const;

/** Bugs, most of which show only when streams run as late as they may. */
export const STREAMS: Mutation[] = [
  {
    bug: "streams: no wait for an event",
    file: "cuda/device.cu",
    find: 'check(cudaStreamWaitEvent(ctx->stream(), event->event, 0), "cudaStreamWaitEvent");',
    ...{ put: ";", modes: late, test: streams },
  },
  {
    bug: "streams: results read before the device is done",
    ...{
      file: "cuda/device.cu",
      find: "for (cudaStream_t stream : ctx->streams) finish(ctx, stream);",
    },
    ...{ put: ";", modes: late, test: streams },
  },
  {
    bug: "memory: freed while another stream still uses it",
    file: MEMORY,
    find: "order(ctx, ctx->streams[i], ctx->streams[0]);",
    ...{ put: ";", modes: late, test: streams },
  },
  {
    bug: "memory: a staging buffer is filled before it was read",
    ...{
      file: MEMORY,
      find: 'check(cudaEventSynchronize(staging.done[*part]), "cudaEventSynchronize");',
    },
    ...{ put: ";", modes: late, test: streams },
  },
  {
    bug: "memory: the second part of a large upload goes to the place of the first",
    ...{
      file: MEMORY,
      find: "static_cast<char *>(dst) + i, staged",
      change: "static_cast<char *>(dst) + i",
    },
    ...{ put: "static_cast<char *>(dst)", isExpression: true, modes: plain, test: streams },
  },
  {
    bug: "NCCL: a channel does not wait for what it sends",
    file: COMM,
    find: 'check(cudaStreamWaitEvent(channel.stream, comm->ctx->order, 0), "cudaStreamWaitEvent");',
    ...{ put: "(void)channel;", modes: late, test: transfers },
  },
  {
    bug: "NCCL: nobody waits for what is received",
    file: COMM,
    find: 'check(cudaStreamWaitEvent(comm->ctx->stream(), mark.get(), 0), "cudaStreamWaitEvent");',
    ...{ put: "(void)comm, (void)mark;", modes: late, test: transfers },
  },
  {
    bug: "NCCL: a reduction of one element too few",
    ...{ file: COLLECTIVES, find: "(x, x, n, ty", change: "n", put: "n - 1", isExpression: true },
    ...{ modes: plain, test: collectives },
  },
  {
    bug: "NCCL: a sum where the largest is asked for",
    ...{ file: COLLECTIVES, find: "op == 0 ? ncclSum : ncclMax", put: "ncclSum" },
    ...{ isExpression: true, modes: plain, test: collectives },
  },
  {
    bug: "NCCL: a send that is never made",
    ...{ file: TRANSFERS, find: "if (bytes > 0) issue(comm, *request);", change: "bytes > 0" },
    ...{ put: "bytes > 0 && !is_send", isExpression: true, modes: plain, test: transfers },
  },
  {
    bug: "NCCL: the parts of all-to-all go to their place at the sender",
    ...{ file: COLLECTIVES, find: "nccl().recv(to + (size_t)r * bytes", change: "(size_t)r" },
    ...{ put: "(size_t)comm->rank", isExpression: true, modes: plain, test: collectives },
  },
  {
    bug: "NCCL: the wrong end of a channel",
    ...{ file: COMM, find: "is_send ? 1 : 0;", change: "is_send ? 1 : 0", put: "is_send ? 0 : 1" },
    ...{ isExpression: true, modes: plain, test: transfers },
  },
];
