// Deciding on a version: what the signed-in person may do, why, and what came of it.
import {
    Alert,
    Box,
    Button,
    Field,
    NativeSelect,
    RadioGroup,
    Text,
    Textarea,
    VStack,
} from "@chakra-ui/react";
import { type SyntheticEvent, useState } from "react";

import { api, ApiError, post } from "../api/client";
import { type Command, type DecisionOutcome, type OfferedAction, type VersionDetail } from "../api/types";
import { useResource } from "../api/use-resource";
import { StandingBadge } from "../parts/badges";
import { Digest } from "../parts/figures";
import { Frame, Section } from "../parts/frame";
import { Problem, Shown } from "../parts/states";
import { PageLink } from "../parts/links";
import { to } from "../routes";

const NAMES: Record<Command, string> = {
    approve: "Approve as champion",
    reject: "Reject on this evidence",
    promote: "Promote to champion",
    rollback: "Roll back to this version",
    retire: "Retire for good",
    halt: "Halt promotions of this model",
    resume: "Resume promotions of this model",
};
const OF_THE_MODEL: Command[] = ["halt", "resume"];
const CONFLICT = 409;

export function DecidePage({ name, version }: { name: string; version: number }) {
    const resource = useResource<VersionDetail>(api("models", name, "versions", version));
    return (
        <Frame
            title="Decide"
            above={[
                ["Models", to.models()],
                [name, to.model(name)],
                [`Version ${version}`, to.version(name, version)],
            ]}
            beside={resource.data && <StandingBadge standing={resource.data.state} />}
        >
            <Shown resource={resource} what="the version">
                {(detail) => <Decisions detail={detail} reload={resource.reload} />}
            </Shown>
        </Frame>
    );
}

function Decisions({ detail, reload }: { detail: VersionDetail; reload: () => void }) {
    const allowed = detail.actions.filter((action) => action.allowed);
    const others = detail.actions.filter((action) => !action.allowed);
    const [result, setResult] = useState<Result>();
    const decided = (found: Result) => {
        setResult(found);
        reload();
    };
    return (
        <Box maxWidth="50rem">
            <Section title="What you decide on">
                <Text>
                    {detail.reference}, as of {detail.as_of ?? "no date"},{" "}
                    {detail.incumbent === null
                        ? "while there is no champion"
                        : `while version ${detail.incumbent} is champion`}
                    , on the evidence{" "}
                    {detail.evidence === null ? "of nobody yet" : <Digest value={detail.evidence} />}
                </Text>
            </Section>
            {result && <Came result={result} detail={detail} />}
            <Section title="Your decision">
                {allowed.length > 0 ? (
                    <Form
                        key={allowed.map((each) => each.action).join()}
                        detail={detail}
                        allowed={allowed}
                        decided={decided}
                    />
                ) : (
                    <Text>There is nothing that you may decide now.</Text>
                )}
            </Section>
            {others.length > 0 && (
                <Section title="What is not open to you now">
                    <Box as="ul" listStyleType="none">
                        {others.map((action) => (
                            <li key={action.action}>
                                <Text as="span" fontWeight="medium">
                                    {NAMES[action.action]}:
                                </Text>{" "}
                                {action.why_not}
                            </li>
                        ))}
                    </Box>
                </Section>
            )}
        </Box>
    );
}

type Result = { action: Command; outcome: DecisionOutcome } | { action: Command; error: ApiError };

interface FormProps {
    detail: VersionDetail;
    allowed: OfferedAction[];
    decided: (result: Result) => void;
}

function Form({ detail, allowed, decided }: FormProps) {
    const [action, setAction] = useState<Command | null>(null);
    const [role, setRole] = useState<string>();
    const [reason, setReason] = useState("");
    const [sending, setSending] = useState(false);
    const chosen = allowed.find((each) => each.action === action);
    const roles = chosen?.action === "approve" ? chosen.roles : [];
    const send = async (event: SyntheticEvent) => {
        event.preventDefault();
        if (chosen === undefined) return;
        setSending(true);
        const ofModel = OF_THE_MODEL.includes(chosen.action);
        const body = {
            action: chosen.action,
            reason: reason.trim(),
            ...(ofModel
                ? {}
                : { version: detail.version, incumbent: detail.incumbent, evidence: detail.evidence }),
            ...(roles.length > 0 ? { role: role ?? roles[0] } : {}),
        };
        try {
            const outcome = await post<DecisionOutcome>(api("models", detail.name, "decisions"), body);
            decided({ action: chosen.action, outcome });
            setReason("");
        } catch (error) {
            decided({
                action: chosen.action,
                error: error instanceof ApiError ? error : new ApiError(0, String(error)),
            });
        } finally {
            setSending(false);
        }
    };
    return (
        <form
            onSubmit={(event) => {
                void send(event);
            }}
        >
            <VStack align="start" gap={4}>
                <RadioGroup.Root
                    aria-label="Decision"
                    value={action}
                    onValueChange={({ value }) => {
                        setAction(value as Command);
                    }}
                >
                    <VStack align="start">
                        {allowed.map((each) => (
                            <RadioGroup.Item key={each.action} value={each.action}>
                                <RadioGroup.ItemHiddenInput />
                                <RadioGroup.ItemIndicator />
                                <RadioGroup.ItemText>{NAMES[each.action]}</RadioGroup.ItemText>
                            </RadioGroup.Item>
                        ))}
                    </VStack>
                </RadioGroup.Root>
                {roles.length > 1 && (
                    <Field.Root width="16rem">
                        <Field.Label>In which role</Field.Label>
                        <NativeSelect.Root>
                            <NativeSelect.Field
                                value={role ?? roles[0] ?? ""}
                                onChange={(event) => {
                                    setRole(event.target.value);
                                }}
                            >
                                {roles.map((each) => (
                                    <option key={each}>{each}</option>
                                ))}
                            </NativeSelect.Field>
                            <NativeSelect.Indicator />
                        </NativeSelect.Root>
                    </Field.Root>
                )}
                <Field.Root required>
                    <Field.Label>Reason</Field.Label>
                    <Textarea
                        rows={3}
                        value={reason}
                        onChange={(event) => {
                            setReason(event.target.value);
                        }}
                    />
                    <Field.HelperText>It stays in the ledger, with your name.</Field.HelperText>
                </Field.Root>
                <Button
                    disabled={chosen === undefined || reason.trim() === ""}
                    loading={sending}
                    type="submit"
                >
                    {chosen === undefined ? "Decide" : NAMES[chosen.action]}
                </Button>
            </VStack>
        </form>
    );
}

function Came({ result, detail }: { result: Result; detail: VersionDetail }) {
    if ("error" in result) {
        const changed =
            result.error.status === CONFLICT ? " What is shown here is as it is now: decide again." : "";
        return (
            <Box mb={4}>
                <Problem sentence={result.error.message + changed} />
            </Box>
        );
    }
    const { outcome, reasons, events } = result.outcome;
    const sentence = {
        done: `${NAMES[result.action]}: done, the ledger has it (${events.map((event) => event.kind).join(", ")}).`,
        already: `${NAMES[result.action]}: it was so already.`,
        refused: `${NAMES[result.action]}: refused, ${reasons.join("; ")}.`,
    }[outcome];
    return (
        <Alert.Root mb={4} role="status" status={outcome === "refused" ? "error" : "success"}>
            <Alert.Indicator />
            <Alert.Content>
                <Text>
                    {sentence}{" "}
                    <PageLink address={to.version(detail.name, detail.version)}>Back to the version</PageLink>
                </Text>
            </Alert.Content>
        </Alert.Root>
    );
}
