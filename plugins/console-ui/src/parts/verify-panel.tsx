// Verification, step by step: the server reads what is stored, the browser recomputes the proof.
import { Alert, Badge, Box, Button, DataList, Field, Input, Text } from "@chakra-ui/react";
import { useState } from "react";

import { api, ask, askBytes } from "../api/client";
import { type Verification, type VersionDetail } from "../api/types";
import { check, filesOf, type Step } from "../proof/check";

const OUTCOMES = { holds: "green", fails: "red", unchecked: "orange" } as const;
const TRUSTED = "veritas.trusted-fingerprint";

export function VerifyPanel({ version }: { version: VersionDetail }) {
    const [steps, setSteps] = useState<Step[]>([]);
    const [state, setState] = useState<"idle" | "working" | "done">("idle");
    const run = async () => {
        setSteps([]);
        setState("working");
        for await (const step of verify(version)) setSteps((before) => [...before, step]);
        setState("done");
    };
    return (
        <Box>
            <Text mb={3}>
                Your browser fetches the proof, hashes it and checks it against the signed ledger. It believes
                the server only where it says so.
            </Text>
            <Button
                loading={state === "working"}
                loadingText="Verifying"
                size="sm"
                onClick={() => {
                    void run();
                }}
            >
                Verify
            </Button>
            <Box aria-live="polite" mt={3}>
                {state === "done" && <Verdict steps={steps} />}
                <Box as="ol" aria-label="Steps of the verification" listStyleType="none">
                    {steps.map((step) => (
                        <StepRow key={step.title} step={step} />
                    ))}
                </Box>
            </Box>
            {state === "done" && <TrustedKey steps={steps} />}
        </Box>
    );
}

/** What the server found reading the stored objects again, then what the browser finds in the proof. */
async function* verify(version: VersionDetail): AsyncGenerator<Step, void> {
    const place = ["models", version.name, "versions", version.version] as const;
    if (!("subtle" in crypto)) {
        const problem =
            "this browser does not compute digests on pages without HTTPS: use HTTPS, or veritas verify";
        yield { title: "The browser can check proofs", outcome: "unchecked", problem, figures: [] };
        return;
    }
    const stored = ask<Verification>(api(...place, "verification"), { cache: "no-store" });
    // Waited for last; until then a failure of it is nobody's.
    stored.catch(() => undefined);
    let proof: Uint8Array<ArrayBuffer> | undefined;
    try {
        proof = await askBytes(api(...place, "proof"));
    } catch (error) {
        yield { title: "There is a proof", outcome: "fails", problem: (error as Error).message, figures: [] };
    }
    if (proof)
        yield* check(proof, { name: version.name, version: version.version, modelId: version.model_id });
    try {
        yield* storedObjects(await stored, proof);
    } catch (error) {
        yield {
            title: "The stored objects are unchanged",
            outcome: "fails",
            problem: (error as Error).message,
            figures: [],
        };
    }
}

function* storedObjects(found: Verification, proof: Uint8Array<ArrayBuffer> | undefined): Generator<Step> {
    for (const { object, problem } of found.problems)
        yield { title: object, outcome: "fails", problem, figures: [] };
    const title = "The stored objects are unchanged, as the server read them again just now";
    if (found.problems.length > 0) return;
    const read = found.checked.filter((each) => each.ok);
    const missing = proof
        ? filesOf(proof).filter(({ sha256 }) => !read.some((each) => each.detail.includes(sha256)))
        : [];
    if (found.verified && missing.length === 0)
        yield { title, outcome: "holds", figures: read.map((each) => [each.what, each.detail]) };
    else {
        const problem = `the server did not find the digests of ${missing.map((file) => file.path).join(", ") || "all objects"}`;
        yield { title, outcome: "fails", problem, figures: [] };
    }
}

function Verdict({ steps }: { steps: Step[] }) {
    const bad = steps.filter((step) => step.outcome === "fails").length;
    const open = steps.filter((step) => step.outcome === "unchecked").length;
    const [status, sentence] =
        bad > 0
            ? (["error", `Not verified: ${bad} of ${steps.length} steps fail.`] as const)
            : open > 0
              ? (["warning", `${open} of ${steps.length} steps could not be checked.`] as const)
              : (["success", `Verified: all ${steps.length} steps hold.`] as const);
    return (
        <Alert.Root mb={3} status={status}>
            <Alert.Indicator />
            <Alert.Content>{sentence}</Alert.Content>
        </Alert.Root>
    );
}

function StepRow({ step }: { step: Step }) {
    return (
        <Box as="li" borderLeftWidth={3} borderColor={`${OUTCOMES[step.outcome]}.500`} mb={3} pl={3}>
            <Text fontWeight="medium">
                <Badge colorPalette={OUTCOMES[step.outcome]} mr={2}>
                    {step.outcome}
                </Badge>
                {step.title}
            </Text>
            {step.problem !== undefined && <Text>{step.problem}</Text>}
            {step.figures.length > 0 && (
                <DataList.Root orientation="horizontal" mt={1} size="sm" gap={1}>
                    {step.figures.map(([name, value]) => (
                        <DataList.Item key={name}>
                            <DataList.ItemLabel
                                color="fg.muted"
                                flexShrink={0}
                                maxWidth="50%"
                                wordBreak="break-word"
                            >
                                {name}
                            </DataList.ItemLabel>
                            <DataList.ItemValue fontFamily="mono" wordBreak="break-all">
                                {value}
                            </DataList.ItemValue>
                        </DataList.Item>
                    ))}
                </DataList.Root>
            )}
        </Box>
    );
}

/** Who made the ledger nothing on this page can say; a fingerprint that came another way can. */
function TrustedKey({ steps }: { steps: Step[] }) {
    const [trusted, setTrusted] = useState(localStorage.getItem(TRUSTED) ?? "");
    const key = steps.flatMap((step) => step.figures).find(([name]) => name === "key")?.[1];
    if (key === undefined) return null;
    const given = trusted.trim().toLowerCase();
    return (
        <Field.Root invalid={given !== "" && given !== key} maxWidth="44rem">
            <Field.Label>Fingerprint of the ledger&apos;s key, if you got it another way</Field.Label>
            <Input
                fontFamily="mono"
                size="sm"
                value={trusted}
                onChange={(event) => {
                    setTrusted(event.target.value);
                    localStorage.setItem(TRUSTED, event.target.value);
                }}
            />
            <Field.ErrorText>This is not the key that signed the ledger: {key}</Field.ErrorText>
            <Field.HelperText>
                {given === key ? "It is the key that signed this ledger." : "This browser remembers it."}
            </Field.HelperText>
        </Field.Root>
    );
}
