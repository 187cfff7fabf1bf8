/**
 * Characters that are newer than the tables of the tokenizers library, which knows Unicode 9: to its
 * normal forms and to StripAccents they are letters without parts.
 *
 * @see crate unicode-normalization-alignments, src/tables.rs
 * @module
 */

const NEWER_MARKS = ranges(
  "7fd 897-89f 8ca-8d3 9fe afa-aff b55 c04 c3c cf3 d00 d3b-d3c d81 eba ece 1715 180f " +
    "1abf-1ace 1cf7 1df6-1dfa a82c a8ff 10d24-10d27 10d69-10d6d 10eab-10eac 10efc-10eff " +
    "10f46-10f50 10f82-10f85 11070 11073-11074 110c2 11145-11146 111c9 111ce-111cf 11241 1133b " +
    "113b8-113c0 113c2 113c5 113c7-113ca 113cc-113d0 113d2 113e1-113e2 1145e 1182c-1183a " +
    "11930-11935 11937-11938 1193b-1193e 11940 11942-11943 119d1-119d7 119da-119e0 119e4 " +
    "11a01-11a0a 11a33-11a39 11a3b-11a3e 11a47 11a51-11a5b 11a8a-11a99 11d31-11d36 11d3a " +
    "11d3c-11d3d 11d3f-11d45 11d47 11d8a-11d8e 11d90-11d91 11d93-11d97 11ef3-11ef6 11f00-11f01 " +
    "11f03 11f34-11f3a 11f3e-11f42 11f5a 13440 13447-13455 1611e-1612f 16f4f 16f7f-16f87 16fe4 " +
    "16ff0-16ff1 1cf00-1cf2d 1cf30-1cf46 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef " +
    "1e5ee-1e5ef",
);
const NEWER_WITH_PARTS = ranges(
  "32ff a7f2-a7f4 ab69 105c9 105e4 10781-10785 10787-107b0 107b2-107ba 11383 11385 1138e " +
    "11391 16d68-16d6a 1ccd6-1ccf9 1e030-1e06d 1f16c 1fbf0-1fbf9",
);
const MARK = new RegExp(`[[\\p{M}\\u1cf2\\u1cf3]--[${NEWER_MARKS}]]`, "gv"); // these two were marks
const NEWER_CHARACTERS = NEWER_MARKS + NEWER_WITH_PARTS;
const NEWER = new RegExp(`[${NEWER_CHARACTERS}]`, "v");
const OLDER = new RegExp(`[^${NEWER_CHARACTERS}]+`, "gv");

/** Removes what were marks in Unicode 9. */
export function stripMarks(text: string): string {
  return text.replace(MARK, "");
}

/** The normal form of a text as in Unicode 9. */
export function normalizeAsOf9(text: string, form: "NFC" | "NFD" | "NFKC" | "NFKD"): string {
  const normalized = text.normalize(form);
  if (normalized === text || !NEWER.test(text)) return normalized; // parts of a normal form are one
  return text.replace(OLDER, (run) => run.normalize(form));
}

/** Ranges such as `300-36f` as members of a set. */
function ranges(list: string): string {
  return list.replaceAll(/[0-9a-f]+/g, "\\u{$&}").replaceAll(" ", "");
}
