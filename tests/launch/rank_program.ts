/** A rank for the tests of the supervisor: does what its argument says. @module */
import { RendezvousClient } from "../../src/comm/rendezvous_client.ts";
import { placementFromEnv } from "../../src/launch/placement.ts";

const placement = placementFromEnv();
const { rank } = placement;
const [plan] = Deno.args;
using client = await RendezvousClient.connect(placement);
await client.say({ type: "ready" });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function failAs(kind: "failed" | "lost" | "timeout" | "config", message: string) {
  await client.say({ type: "error", kind, message, stage: rank, step: 12 });
  Deno.exit(1);
}

switch (plan) {
  case "exchange": {
    const all = await client.exchange("names", new TextEncoder().encode(`rank ${rank}`));
    console.log(all.map((blob) => new TextDecoder().decode(blob)).join(", "));
    break;
  }
  case "kill": // rank 1 is killed; the others wait, notice, and say so
    if (rank === 1) Deno.kill(Deno.pid, "SIGKILL");
    await client.exchange("never", new Uint8Array()).catch(() => {});
    await failAs("lost", "Cannot receive: rank 1 is gone");
    break;
  case "error": // rank 0 notices the loss before rank 1 has spoken
    if (rank === 0) await failAs("lost", "Cannot receive: rank 1 is gone");
    await sleep(150);
    await failAs("failed", "Cannot read layer_03: the file is cut short");
    break;
  case "silent":
    if (rank === 1) {
      console.error("terminate called after throwing an instance of 'std::bad_alloc'");
      Deno.exit(134);
    }
    await sleep(60_000);
    break;
  case "crash":
    new Deno.UnsafePointerView(Deno.UnsafePointer.create(64n)!).getInt32();
    break;
  case "config":
    await failAs("config", "Cannot use parts [1, 2]: the sum must be 4");
    break;
  case "deaf": // does not end on SIGTERM
    Deno.addSignalListener("SIGTERM", () => {});
    if (rank === 0) Deno.exit(7);
    await sleep(60_000);
    break;
  case "stuck": // rank 1 tells its error and cannot end, as one whose device does not answer
    if (rank === 1) {
      await client.say({ type: "error", kind: "failed", message: "gemm: no answer", step: 12 });
    }
    await sleep(60_000);
    break;
  case "wait": // ends when asked to
    await new Promise((resolve) => client.stopSignal.addEventListener("abort", resolve));
    break;
  case "forever":
    await sleep(60_000);
    break;
  case "environment": {
    const names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"];
    console.log(names.map((name) => Deno.env.get(name)).join(" "));
  }
}
