// The published proof bundles verify in the browser's code, and none of them does with anything changed.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describe, expect, test } from "vitest";

import { type Bytes, fromBase64, utf8 } from "../src/proof/bytes";
import { canonical, read } from "../src/proof/canonical";
import { check, type Step } from "../src/proof/check";

const GOLDEN = fileURLToPath(new URL("../../../tests/golden/v1/", import.meta.url));
const SUBJECT = {
    name: "volatility",
    version: 1,
    modelId: "9ec6b47a72402d78868e8ff95f42caf685ba6eb1d9873491f8b153af646773fa",
};
const SCOPES = ["proof-version.json", "proof-full.json"];

/** A bundle as its file spells it; tests change what they like. */
interface Raw {
    format: string;
    key: string;
    checkpoint: string;
    entries: { entry: string }[];
    manifest: string;
    attachments: Record<string, string>;
    extra?: null;
}

interface Event {
    kind: string;
    event: { attachments: { name: string; sha256: string }[] };
}

function golden(name: string): Bytes {
    return new Uint8Array(readFileSync(GOLDEN + name));
}

/** A golden bundle with a change, spelt canonically again so that no reader stumbles over its form. */
function changed(name: string, change: (bundle: Raw) => Partial<Raw>): Bytes {
    const bundle = read(golden(name), name) as unknown as Raw;
    return utf8(canonical({ ...bundle, ...change(bundle) }));
}

async function steps(data: Bytes, subject = SUBJECT): Promise<Step[]> {
    const found: Step[] = [];
    for await (const step of check(data, subject)) found.push(step);
    return found;
}

async function failures(data: Bytes, subject = SUBJECT): Promise<string[]> {
    return (await steps(data, subject))
        .filter((step) => step.outcome !== "holds")
        .map((step) => `${step.title}: ${step.problem}`);
}

describe.each(SCOPES)("%s", (name) => {
    test("every step holds", async () => {
        const found = await steps(golden(name));
        expect(found.map((step) => step.outcome)).toEqual(Array(7).fill("holds"));
        expect(found.flatMap((step) => step.figures)).toContainEqual(["model id", SUBJECT.modelId]);
    });

    test("any changed bit of the file is found", async () => {
        const whole = golden(name);
        for (let at = 0; at < whole.length; at += 97) {
            const other = whole.slice();
            other[at] = (other[at] as number) ^ 1;
            expect(await failures(other), `byte ${at}`).not.toEqual([]);
        }
    });

    test.each<[string, string, (bundle: Raw) => Partial<Raw>]>([
        ["an entry", "ledger", (b) => ({ entries: b.entries.map(otherFigure) })],
        ["the manifest", "manifest", (b) => ({ manifest: b.manifest.replace("Tests.", "Trading.") })],
        [
            "an attachment",
            "evidence.json",
            (b) => ({ attachments: { ...b.attachments, [evidence(b)]: btoa("{}") } }),
        ],
        [
            "a missing attachment",
            "evidence.json is missing",
            (b) => ({ attachments: without(b, evidence(b)) }),
        ],
        [
            "an added attachment",
            "names",
            (b) => ({ attachments: { ...b.attachments, ["0".repeat(64)]: "" } }),
        ],
        ["the signed size", "checkpoint", (b) => ({ checkpoint: b.checkpoint.replace(/\n\d+\n/u, "\n9\n") })],
        ["the key", "key", (b) => ({ key: b.key.replace(/.{4}$/u, "AAAA") })],
        ["a dropped introduction of a key", "about keys", (b) => ({ entries: b.entries.slice(1) })],
        ["the format", "unknown format", () => ({ format: "veritasvault/proof/v2" })],
        ["an unknown field", "other fields", () => ({ extra: null })],
    ])("%s that was changed is named", async (_, named, change) => {
        expect((await failures(changed(name, change))).join("\n")).toContain(named);
    });

    test("it proves no other version and no other model", async () => {
        expect(await failures(golden(name), { ...SUBJECT, version: 2 })).toHaveLength(1);
        expect(await failures(golden(name), { ...SUBJECT, modelId: "0".repeat(64) })).toHaveLength(1);
    });

    test("a signature by another key than the ledger's is refused", async () => {
        const data = changed(name, (b) => {
            const place = attachment(b, "model.sig");
            const text = new TextDecoder().decode(fromBase64(b.attachments[place], "signature"));
            return { attachments: { ...b.attachments, [place]: btoa(text.replace("f847bdab", "f847bdac")) } };
        });
        expect((await failures(data)).join("\n")).toContain("The artifact is signed");
    });
});

test("a bundle that is spelt in another way is refused", async () => {
    const spaced = utf8(
        JSON.stringify(JSON.parse(new TextDecoder().decode(golden(SCOPES[0] as string))), null, 1),
    );
    expect(await failures(spaced)).toEqual([
        "The proof is about this version: the bundle is not canonical JSON",
    ]);
});

function attachment(bundle: Raw, name: string): string {
    const events = bundle.entries.map((each) => JSON.parse(each.entry) as Event);
    const registered = events.find((each) => each.kind === "ModelRegistered");
    return registered?.event.attachments.find((each) => each.name === name)?.sha256 ?? "";
}

function evidence(bundle: Raw): string {
    return attachment(bundle, "evidence.json");
}

function without(bundle: Raw, sha256: string): Record<string, string> {
    return Object.fromEntries(Object.entries(bundle.attachments).filter(([name]) => name !== sha256));
}

function otherFigure<Entry extends { entry: string }>(each: Entry): Entry {
    return { ...each, entry: each.entry.replace("0.5", "0.4") };
}
