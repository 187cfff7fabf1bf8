import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { cachedModel, localModel, saveHubModel } from "../../src/checkpoint/hub_model.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { HubFailure } from "../../src/hub/hub_error.ts";
import { type HubSettings, hubSettings } from "../../src/hub/hub_settings.ts";
import { withDir } from "../checkpoint/fixtures.ts";
import { gitHash, HubServer, refuse, type ServedModel, sha256 } from "./hub_server.ts";

const NAME = "bigscience/bloom-tiny";
const COMMIT = "a2845d7e13dd12efae154a9f1c63fcc2e0cc4b05";
const WEIGHTS = "model.safetensors";

function text(words: string): Uint8Array {
  return new TextEncoder().encode(words);
}

/** Bytes that look random and are the same each time. */
function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = seed; i < length; i++) bytes[i] = (x = (x * 1103515245 + 12345) >>> 0) >>> 16;
  return bytes;
}

function tinyModel(files: Record<string, Uint8Array> = {}): ServedModel {
  return {
    commit: COMMIT,
    files: {
      ".gitattributes": text("* filter=lfs"),
      "README.md": text("# A model"),
      "config.json": text(`{"model_type": "bloom"}`),
      "generation_config.json": text("{}"),
      "chat_template.jinja": text("{{ messages }}"),
      "tokenizer.json": text(`{"model": {}}`),
      "tokenizer_config.json": text("{ }"),
      [WEIGHTS]: noise(500_000),
      "pytorch_model.bin": noise(500_001),
      "tf_model.h5": noise(5000),
      "model.gguf": noise(5001),
      "onnx/model.onnx": noise(5002),
      "original/params.json": text("[]"),
      "flax_model.msgpack.index.json": text("[ ]"),
      ...files,
    },
  };
}

interface Place {
  hub: HubServer;
  settings: HubSettings;
  /** Folder of the model in the cache. */
  folder: string;
  /** Fetches all of the model. */
  fetch: (changes?: Partial<HubSettings>, name?: string) => Promise<string>;
  notices: string[];
}

/** Runs `body` with a hub that has one model and an empty cache. */
async function withHub(
  body: (place: Place) => Promise<void>,
  model: ServedModel = tinyModel(),
): Promise<void> {
  await withDir(async (dir) => {
    await using hub = new HubServer({ [NAME]: model });
    const settings: HubSettings = {
      endpoint: hub.url,
      cacheDir: join(dir, "hub"),
      token: undefined,
      tokenPlace: "HF_TOKEN or DIR/token",
      isOffline: false,
      retryDelaysMs: [1, 1, 1],
    };
    const notices: string[] = [];
    const fetch = async (changes: Partial<HubSettings> = {}, name = NAME) => {
      const { dir } = await localModel(name, {
        need: "weights",
        settings: { ...settings, ...changes },
        onNotice: (text) => notices.push(text),
      });
      return dir;
    };
    const folder = join(dir, "hub", `models--${NAME.replace("/", "--")}`);
    await body({ hub, settings, folder, fetch, notices });
  });
}

function namesIn(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

/** An address where nobody listens. */
function closedPort(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return `http://127.0.0.1:${listener.addr.port}`;
}

const NEEDED = [
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
  WEIGHTS,
  "tokenizer.json",
  "tokenizer_config.json",
];

Deno.test("a model of a hub comes into the cache in the layout of huggingface_hub", () =>
  withHub(async ({ hub, fetch, folder }) => {
    const { files } = hub.models[NAME];
    const dir = await fetch();
    assertEquals(dir, join(folder, "snapshots", COMMIT));
    assertEquals(namesIn(dir), NEEDED);
    assertEquals(hub.filesSent(), NEEDED);
    assertEquals(Deno.readTextFileSync(join(folder, "refs/main")), COMMIT);
    for (const name of NEEDED) {
      const isLarge = name === WEIGHTS || name === "tokenizer.json";
      const etag = isLarge ? sha256(files[name]) : gitHash(files[name]);
      assertEquals(Deno.readLinkSync(join(dir, name)), `../../blobs/${etag}`);
      assertEquals(Deno.readFileSync(join(dir, name)), files[name]);
    }
    assertEquals(namesIn(folder), ["blobs", "refs", "snapshots"]);
    assertEquals(namesIn(join(folder, "blobs")).length, NEEDED.length);
  }));

const TEMPLATE = "additional_chat_templates/tool_use.jinja";

Deno.test("named chat templates come along, into the cache and into a directory", () =>
  withHub(async ({ hub, fetch, settings, folder }) => {
    const dir = await fetch();
    assertEquals(hub.filesSent(), [TEMPLATE, ...NEEDED]);
    assertEquals(Deno.readTextFileSync(join(dir, TEMPLATE)), "{{ tools }}");
    assertMatch(Deno.readLinkSync(join(dir, TEMPLATE)), /^\.\.\/\.\.\/\.\.\/blobs\/\w+$/);
    const saved = join(folder, "../../saved");
    const { files } = await saveHubModel(NAME, saved, { settings, force: false });
    assertEquals(files, NEEDED.length + 1);
    assertEquals(namesIn(saved), ["additional_chat_templates", ...NEEDED]);
    assertEquals(Deno.readTextFileSync(join(saved, TEMPLATE)), "{{ tools }}");
  }, tinyModel({ [TEMPLATE]: text("{{ tools }}"), "additional_chat_templates/x.txt": text("") })));

Deno.test("what is in the cache is not fetched again, also when Python has put it there", () =>
  withHub(async ({ hub, fetch, folder, settings }) => {
    const { files } = hub.models[NAME];
    const dir = join(folder, "snapshots", COMMIT);
    Deno.mkdirSync(dir, { recursive: true });
    Deno.mkdirSync(join(folder, "blobs"));
    const etag = sha256(files[WEIGHTS]);
    Deno.writeFileSync(join(folder, "blobs", etag), files[WEIGHTS]);
    Deno.symlinkSync(`../../blobs/${etag}`, join(dir, WEIGHTS));
    await fetch();
    assertEquals(hub.bytesOf(WEIGHTS), 0);
    hub.served.length = 0;
    await fetch();
    assertEquals(hub.filesSent(), []);
    assertEquals(cachedModel(NAME, settings), dir);
    assertEquals(cachedModel(`${NAME}@${COMMIT}`, settings), dir);
  }));

Deno.test("a content that is in the cache under another commit is only linked", () =>
  withHub(async ({ hub, fetch, folder }) => {
    await fetch();
    hub.served.length = 0;
    hub.models[NAME].commit = "b".repeat(40);
    hub.models[NAME].files["config.json"] = text(`{"model_type": "llama"}`);
    assertEquals(await fetch(), join(folder, "snapshots", "b".repeat(40)));
    assertEquals(hub.filesSent(), ["config.json"]);
    assertEquals(Deno.readTextFileSync(join(folder, "refs/main")), "b".repeat(40));
  }));

Deno.test("without weights, a model is its configuration and tokenizer", () =>
  withHub(async ({ hub, settings }) => {
    await localModel(NAME, { need: "config", settings });
    assertEquals(hub.filesSent(), NEEDED.filter((name) => name !== WEIGHTS));
  }));

Deno.test("sharded weights are the files that their index names, PyTorch files when there are no others", () => {
  const index = { weight_map: { a: "pytorch_model-00001-of-00002.bin", b: "second.bin" } };
  const files = {
    "config.json": text("{}"),
    "pytorch_model.bin.index.json": text(JSON.stringify(index)),
    "pytorch_model-00001-of-00002.bin": noise(10),
    "second.bin": noise(20),
    "third.bin": noise(30),
  };
  return withHub(async ({ hub, fetch }) => {
    await fetch();
    assertEquals(hub.filesSent(), Object.keys(files).filter((name) => name !== "third.bin").sort());
    delete hub.models[NAME].files["second.bin"];
    await assertRejects(() => fetch(), ConfigError, "it lacks second.bin");
  }, { commit: COMMIT, files });
});

Deno.test("an answer that breaks off is continued where it ended", () =>
  withHub(async ({ hub, fetch }) => {
    hub.cuts.set(WEIGHTS, 200_000);
    const dir = await fetch();
    const { files } = hub.models[NAME];
    assertEquals(Deno.readFileSync(join(dir, WEIGHTS)), files[WEIGHTS]);
    assertEquals(hub.bytesOf(WEIGHTS), files[WEIGHTS].length);
    const ranges = hub.served.filter(({ host, file }) => host === "cdn" && file === WEIGHTS)
      .map(({ headers }) => headers.get("range"));
    assertEquals(ranges, [null, "bytes=200000-"]);
  }));

Deno.test("an unfinished file of an earlier attempt is continued", () =>
  withHub(async ({ hub, fetch, folder }) => {
    const { files } = hub.models[NAME];
    const blob = join(folder, "blobs", sha256(files[WEIGHTS]));
    Deno.mkdirSync(join(folder, "blobs"), { recursive: true });
    Deno.writeFileSync(`${blob}.incomplete`, files[WEIGHTS].slice(0, 450_000));
    const dir = await fetch();
    assertEquals(hub.bytesOf(WEIGHTS), 50_000);
    assertEquals(Deno.readFileSync(join(dir, WEIGHTS)), files[WEIGHTS]);
    assertEquals(namesIn(join(folder, "blobs")).filter((name) => name.includes(".")), []);
  }));

Deno.test("an unfinished file with other bytes, or too many, is fetched again", () =>
  withHub(async ({ hub, fetch, folder }) => {
    const { files } = hub.models[NAME];
    for (const length of [450_000, 500_000, 500_001]) {
      await Deno.remove(folder, { recursive: true }).catch(() => {});
      const blob = join(folder, "blobs", sha256(files[WEIGHTS]));
      Deno.mkdirSync(join(folder, "blobs"), { recursive: true });
      Deno.writeFileSync(`${blob}.incomplete`, noise(length, 2));
      assertEquals(Deno.readFileSync(join(await fetch(), WEIGHTS)), files[WEIGHTS]);
    }
  }));

Deno.test("a host without ranges sends the whole file again", () =>
  withHub(async ({ hub, fetch }) => {
    hub.knowsRanges = false;
    hub.cuts.set(WEIGHTS, 200_000);
    const { files } = hub.models[NAME];
    assertEquals(Deno.readFileSync(join(await fetch(), WEIGHTS)), files[WEIGHTS]);
    assertEquals(hub.bytesOf(WEIGHTS), 700_000);
  }));

Deno.test("a content with a wrong hash is fetched once more, then refused with both hashes", () =>
  withHub(async ({ hub, fetch, folder }) => {
    for (const name of [WEIGHTS, "config.json"]) {
      const right = hub.models[NAME].files[name];
      const wrong = right.with(5, right[5] ^ 1);
      const hash = name === WEIGHTS ? sha256 : gitHash;
      hub.content = (file, bytes) => file === name ? wrong : bytes;
      hub.served.length = 0;
      await Deno.remove(folder, { recursive: true }).catch(() => {});
      const { message } = await assertRejects(() => fetch(), HubFailure);
      assertMatch(message, new RegExp(`must be ${hash(right)}.* has ${hash(wrong)}`));
      assertEquals(hub.bytesOf(name), 2 * right.length);
      assertEquals(namesIn(join(folder, "blobs")).filter((f) => f.startsWith(hash(right))), []);
      let times = 0;
      hub.content = (file, bytes) => file === name && times++ === 0 ? wrong : bytes;
      assertEquals(Deno.readFileSync(join(await fetch(), name)), right);
    }
  }));

Deno.test("an answer that is longer than the file is refused", () =>
  withHub(async ({ hub, fetch }) => {
    hub.content = (file, bytes) => file === WEIGHTS ? noise(600_000) : bytes;
    await assertRejects(() => fetch(), HubFailure, "more than its 500000 bytes came");
  }));

Deno.test("the token goes to the hub and to no other host", () =>
  withHub(async ({ hub, fetch }) => {
    await fetch({ token: "hf_secret" });
    const sent = (host: string) =>
      new Set(
        hub.served.filter((one) => one.host === host).map(({ headers }) =>
          headers.get("authorization")
        ),
      );
    assertEquals(sent("hub"), new Set(["Bearer hf_secret"]));
    assertEquals(sent("cdn"), new Set([null]));
  }));

Deno.test("a hub that fails for a while is asked again", () =>
  withHub(async ({ hub, fetch, notices }) => {
    const failed = new Set<string>();
    hub.fault = ({ line }) => {
      if (failed.has(line)) return undefined;
      failed.add(line);
      return new Response(null, { status: failed.size % 2 ? 503 : 429 });
    };
    await fetch();
    assertEquals(notices, []);
    assert(failed.size > 8);
  }));

Deno.test("a signed address that has expired is asked for again", () =>
  withHub(async ({ hub, fetch }) => {
    let times = 0;
    hub.fault = ({ host, file }) =>
      host === "cdn" && file === WEIGHTS && times++ === 0
        ? new Response(null, { status: 403 })
        : undefined;
    await fetch();
    assertEquals(
      hub.served.filter(({ host, file }) => host === "hub" && file === WEIGHTS).length,
      2,
    );
  }));

Deno.test("a hub that fails for good is a failure, unless the cache has all that is needed", () =>
  withHub(async ({ hub, fetch, notices }) => {
    hub.fault = () => new Response(null, { status: 503 });
    await assertRejects(() => fetch(), HubFailure, "it answers 503");
    assertEquals(hub.served.length, 4);
    hub.fault = () => undefined;
    const dir = await fetch();
    hub.fault = () => new Response(null, { status: 503 });
    assertEquals(await fetch(), dir);
    assertEquals(await fetch({ endpoint: closedPort() }), dir);
    assertEquals(notices.length, 2);
    assertMatch(notices[0], /it answers 503; going on with bigscience\/bloom-tiny@a2845d7e\w+ of/);
    assertMatch(notices[1], /Cannot reach http:\/\/127.0.0.1:\d+: .*refused/);
  }));

Deno.test("offline, the cache is all there is", () =>
  withHub(async ({ hub, fetch, folder }) => {
    const offline = { isOffline: true };
    await assertRejects(() => fetch(offline), ConfigError, "HF_HUB_OFFLINE is set");
    assertEquals(hub.served, []);
    const dir = await fetch();
    hub.served.length = 0;
    assertEquals(await fetch(offline), dir);
    assertEquals(await fetch(offline, `${NAME}@${COMMIT}`), dir);
    assertEquals(hub.served, []);
    await assertRejects(() => fetch(offline, `${NAME}@v2`), ConfigError, "does not have all of it");
    Deno.removeSync(join(folder, "snapshots", COMMIT, WEIGHTS));
    await assertRejects(() => fetch(offline), ConfigError, "does not have all of it");
  }));

Deno.test("what the hub refuses is said in words", () =>
  withHub(async ({ hub, fetch }) => {
    const token = { token: "hf_x", tokenPlace: "HF_TOKEN" };
    const cases: [answer: Response, changes: Partial<HubSettings>, words: RegExp][] = [
      [
        refuse(401, "RepoNotFound", ""),
        {},
        /no such model, or it is private and no token was sent/,
      ],
      [refuse(401, "", ""), token, /no such model, or the account of HF_TOKEN may not see it/],
      [refuse(404, "RepoNotFound", "Repository not found"), {}, /there is no such model/],
      [
        refuse(401, "", "Invalid credentials in Authorization header"),
        token,
        /the token of HF_TOKEN is not valid/,
      ],
      [refuse(401, "GatedRepo", "Access is restricted"), {}, /must be granted.*none, no token/],
      [
        refuse(403, "GatedRepo", "Access is restricted"),
        token,
        /must be granted: ask for it on http/,
      ],
      [refuse(403, "", "Disabled\tthus"), token, /it is forbidden: Disabled thus; the token is/],
      [refuse(404, "RevisionNotFound", ""), {}, /bloom-tiny has no revision main/],
      [refuse(418, "", "short and stout"), {}, /it answers 418, short and stout/],
    ];
    for (const [answer, changes, words] of cases) {
      hub.fault = () => answer.clone() as Response;
      const { message } = await assertRejects(() => fetch(changes), ConfigError);
      assertMatch(message, words);
      assertMatch(message, /nor is there a directory bigscience\/bloom-tiny$/);
      assert(!message.includes("hf_x"));
    }
    hub.fault = () => undefined;
    await assertRejects(() => fetch({}, `${NAME}@nope`), ConfigError, "has no revision nope");
    await assertRejects(() => fetch({}, "no/such"), ConfigError, "there is no such model");
  }));

Deno.test("an answer that no hub gives is a failure", () =>
  withHub(async ({ hub, fetch }) => {
    const answers = ["<html>Sign in to the hotel</html>", "null", "[1]", `{"sha": "../../etc"}`];
    for (const answer of answers) {
      hub.fault = ({ line }) => line.includes("/revision/") ? new Response(answer) : undefined;
      await assertRejects(() => fetch(), HubFailure, "does not answer as a hub does");
    }
    for (const answer of [`{"a": 1}`, "[null]", "[{"]) {
      hub.fault = ({ line }) => line.includes("/tree/") ? new Response(answer) : undefined;
      await assertRejects(() => fetch(), HubFailure, "does not answer as a hub does");
    }
    const elsewhere = new Response(null, { status: 302, headers: { location: hub.url } });
    hub.fault = () => elsewhere.clone() as Response;
    await assertRejects(() => fetch(), HubFailure, "too many redirects");
  }));

Deno.test("names and hashes that a hub makes up cannot leave the cache", () =>
  withHub(async ({ hub, fetch, folder }) => {
    const evil = {
      "../evil.json": "1",
      "/evil.json": "2",
      "a/../../evil.json": "3",
      "..json": "4",
    };
    for (const [path, words] of Object.entries(evil)) hub.models[NAME].files[path] = text(words);
    assertEquals(namesIn(await fetch()), NEEDED);
    for (const oid of ["../../evil", "a/b", "", ".."]) {
      hub.list = (entry) => entry.path === "generation_config.json" ? { ...entry, oid } : entry;
      await assertRejects(() => fetch(), HubFailure, "does not answer as a hub does");
    }
    for (const size of [-1, 1.5, "12", null, 2 ** 60]) {
      hub.list = (entry) => entry.path === "generation_config.json" ? { ...entry, size } : entry;
      await assertRejects(() => fetch(), HubFailure, "does not answer as a hub does");
    }
    assertEquals(namesIn(join(folder, "..")), [".locks", `models--${NAME.replace("/", "--")}`]);
  }));

Deno.test("the disk must have room before anything is fetched", () =>
  withHub(async ({ hub, fetch }) => {
    hub.list = (entry) =>
      entry.path === WEIGHTS ? { ...entry, lfs: { ...entry.lfs as object, size: 2 ** 52 } } : entry;
    await assertRejects(() => fetch(), ConfigError, "4.0 PiB must be free");
    assertEquals(hub.filesSent(), []);
  }));

Deno.test("a mirror that lists only names is asked for each file", () =>
  withHub(async ({ hub, fetch }) => {
    hub.list = ({ type, path }) => ({ type, path });
    const dir = await fetch();
    const { files } = hub.models[NAME];
    assertEquals(Deno.readLinkSync(join(dir, WEIGHTS)), `../../blobs/${sha256(files[WEIGHTS])}`);
    const config = gitHash(files["config.json"]);
    assertEquals(Deno.readLinkSync(join(dir, "config.json")), `../../blobs/${config}`);
  }));

Deno.test("two that fetch the same model at once fetch each content once", () =>
  withHub(async ({ hub, fetch }) => {
    const [one, other] = await Promise.all([fetch(), fetch()]);
    assertEquals(one, other);
    for (const name of NEEDED) {
      assertEquals(hub.bytesOf(name), hub.models[NAME].files[name].length, name);
    }
  }));

Deno.test("a directory wins over a name, and what looks like a path is never looked up", () =>
  withDir(async (dir) => {
    const settings = hubSettings(() => undefined);
    const at = async (path: string) => (await localModel(path, { need: "weights", settings })).dir;
    assertEquals(await at(dir), dir);
    const before = Deno.cwd();
    Deno.chdir(dir);
    try {
      Deno.mkdirSync("org/model", { recursive: true });
      assertEquals(await at("org/model"), "org/model");
    } finally {
      Deno.chdir(before);
    }
    for (const path of ["./org/model", "/org/model", "a/b/c", "model", "../model", "~/model"]) {
      assertEquals(await at(path), path);
    }
  }));
