/** Some files of a commit: from the hub into the cache, several at once. @module */
import { fetchBlob } from "./fetch_blob.ts";
import type { HubClient } from "./hub_client.ts";
import type { RepoCache } from "./repo_cache.ts";
import { fileAddress, type HubFile } from "./repository.ts";

const AT_ONCE = 4; // one connection seldom fills a line

/** How far a transfer is. */
export interface TransferProgress {
  /** Bytes that are there, those of an earlier attempt included. */
  bytes: number;
  /** Bytes of all files. */
  totalBytes: number;
  /** True while another process is writing one of the files. */
  isWaiting: boolean;
}

/** How a transfer is watched and ended. */
export interface FetchOptions {
  /** Called as bytes arrive. */
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Ends the transfer; what has arrived stays for the next one. */
  signal?: AbortSignal | undefined;
}

/**
 * Brings files into the folder of a commit. The first failure ends it.
 *
 * @throws {HubFailure} If one does not arrive, or is damaged
 */
export async function fetchFiles(
  client: HubClient,
  cache: RepoCache,
  commit: string,
  files: readonly HubFile[],
  { onProgress, signal }: FetchOptions = {},
): Promise<void> {
  const totalBytes = files.reduce((sum, { size }) => sum + size, 0);
  // Told from the first word on, whichever file is the first to report
  const arrived = new Map(files.map((file) => [file, file.size - cache.missingBytes(file)]));
  const report = (isWaiting: boolean) => {
    const bytes = [...arrived.values()].reduce((sum, one) => sum + one, 0);
    onProgress?.({ bytes, totalBytes, isWaiting });
  };
  const failed = new AbortController();
  const either = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
  const queue = [...files];
  const work = async () => {
    for (let file; (file = queue.shift()) !== undefined;) {
      const current = file;
      await fetchBlob(client, cache, file, fileAddress(client, commit, file.path), {
        onBytes: (bytes) => {
          arrived.set(current, bytes);
          report(false);
        },
        onWait: () => report(true),
        signal: either,
      });
      cache.link(commit, file);
    }
  };
  const workers = Array.from({ length: Math.min(AT_ONCE, files.length) }, async () => {
    try {
      await work();
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  const outcomes = await Promise.allSettled(workers);
  if (outcomes.some(({ status }) => status === "rejected")) either.throwIfAborted();
}
