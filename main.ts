/** The program: hands the command line to {@linkcode run} and exits with its status. @module */
import { run } from "./src/cli/run.ts";

Deno.exit(await run(Deno.args));
