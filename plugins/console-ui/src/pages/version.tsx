// One version: what it is, where it comes from, what the gates said, and the proof of all that.
import { Box, Button, DataList, Table, Text } from "@chakra-ui/react";
import { type ReactNode } from "react";
import { Link } from "react-router-dom";

import { api } from "../api/client";
import { type Gate, type VersionDetail } from "../api/types";
import { useResource } from "../api/use-resource";
import { GatesBadge, StandingBadge } from "../parts/badges";
import { Digest, figure, moment } from "../parts/figures";
import { Frame, Section } from "../parts/frame";
import { LineageGraph } from "../parts/lineage-graph";
import { OutsideLink, PageLink, VersionLink } from "../parts/links";
import { Problem, Shown } from "../parts/states";
import { VerifyPanel } from "../parts/verify-panel";
import { to } from "../routes";

export function VersionPage({ name, version }: { name: string; version: number }) {
    const resource = useResource<VersionDetail>(api("models", name, "versions", version));
    const found = resource.data;
    const other = found?.incumbent ?? (version > 1 ? version - 1 : null);
    return (
        <Frame
            title={`Version ${version}`}
            above={[
                ["Models", to.models()],
                [name, to.model(name)],
            ]}
            beside={found && <StandingBadge standing={found.state} />}
            actions={
                <>
                    {other !== null && other !== version && (
                        <Button asChild size="sm" variant="outline">
                            <Link to={to.compare(name, other, version)}>Compare with version {other}</Link>
                        </Button>
                    )}
                    <Button asChild size="sm">
                        <Link to={to.decide(name, version)}>Decide</Link>
                    </Button>
                </>
            }
        >
            <Shown resource={resource} what="the version">
                {(detail) => <Detail detail={detail} />}
            </Shown>
        </Frame>
    );
}

function Detail({ detail }: { detail: VersionDetail }) {
    const card = api("models", detail.name, "versions", detail.version, "card");
    return (
        <>
            {detail.problems.map((problem) => (
                <Box key={problem} mb={4}>
                    <Problem sentence={problem} />
                </Box>
            ))}
            <Section title="What it is">
                <Facts facts={factsOf(detail)} />
            </Section>
            <Section title="Lineage">
                <LineageGraph version={detail} />
            </Section>
            <Section title="Gates">
                <Gates gates={detail.gates} />
            </Section>
            <Section title="Verification">
                <VerifyPanel version={detail} />
            </Section>
            <Section title="Files and evidence">
                <Files detail={detail} />
            </Section>
            <Section title="Provenance">
                <Facts facts={Object.entries(detail.provenance).map(([name, value]) => [name, value])} />
            </Section>
            <Section title="Model card">
                <Text mb={2}>
                    <OutsideLink url={card}>Open the card alone</OutsideLink>
                </Text>
                <iframe
                    sandbox=""
                    src={card}
                    style={{
                        border: "1px solid var(--chakra-colors-border)",
                        height: "40rem",
                        width: "100%",
                    }}
                    title={`Model card of ${detail.reference}`}
                />
            </Section>
        </>
    );
}

function factsOf(detail: VersionDetail): [string, ReactNode][] {
    const { links, lineage } = detail;
    return [
        ["model id", <Digest key="id" value={detail.model_id} whole />],
        [
            "recipe",
            detail.recipe === null ? (
                "none, trained elsewhere"
            ) : (
                <Digest key="recipe" value={detail.recipe} whole />
            ),
        ],
        ["as of", detail.as_of ?? "no date"],
        ["registered", detail.registered_at === null ? "unreadable" : moment(detail.registered_at)],
        [
            "ledger entry",
            `${detail.index}, ${detail.signed ? "under a signed checkpoint" : "not signed yet"}`,
        ],
        [
            "supersedes",
            detail.supersedes === null ? (
                "nothing"
            ) : (
                <VersionLink key="old" name={detail.name} version={detail.supersedes} />
            ),
        ],
        ["trained again because", detail.retrain_reason ?? "it was not"],
        [
            "registered by",
            links.run === null ? (
                "no run of Airflow"
            ) : (
                <PageLink key="run" address={to.airflow(links.run.url)}>
                    {links.run.dag_id} {links.run.run_id}
                </PageLink>
            ),
        ],
        [
            "experiment",
            links.tracking === null ? (
                (detail.provenance.tracked_as ?? "not tracked")
            ) : (
                <OutsideLink key="mlflow" url={links.tracking}>
                    MLflow run
                </OutsideLink>
            ),
        ],
        ["raw data", links.snapshot === null ? "no snapshot" : `DVC snapshot ${links.snapshot}`],
        ...["purpose", "intended_use", "limitations", "owner", "framework"].map(
            (field): [string, ReactNode] => [field.replace("_", " "), figure(detail.metadata?.[field])],
        ),
        [
            "seed and parameters",
            lineage === null
                ? "not recorded"
                : figure({ seed: lineage.seed, ...asObject(lineage.parameters) }),
        ],
    ];
}

function asObject(value: unknown): object {
    return typeof value === "object" && value !== null ? value : {};
}

function Facts({ facts }: { facts: [string, ReactNode][] }) {
    return (
        <DataList.Root orientation="horizontal" gap={2} size="sm">
            {facts.map(([name, value]) => (
                <DataList.Item key={name}>
                    <DataList.ItemLabel color="fg.muted" minWidth="11rem">
                        {name}
                    </DataList.ItemLabel>
                    <DataList.ItemValue wordBreak="break-word">{value}</DataList.ItemValue>
                </DataList.Item>
            ))}
        </DataList.Root>
    );
}

function Gates({ gates }: { gates: Gate[] }) {
    if (gates.length === 0) return <Text color="fg.muted">No gate judged this version.</Text>;
    return (
        <Table.ScrollArea>
            <Table.Root size="sm">
                <Table.Header>
                    <Table.Row>
                        {["Gate", "Outcome", "Why", "Figures"].map((title) => (
                            <Table.ColumnHeader key={title}>{title}</Table.ColumnHeader>
                        ))}
                    </Table.Row>
                </Table.Header>
                <Table.Body>
                    {gates.map((gate) => (
                        <Table.Row key={gate.gate}>
                            <Table.Cell>{gate.gate}</Table.Cell>
                            <Table.Cell>
                                <GatesBadge outcome={gate.outcome} />
                            </Table.Cell>
                            <Table.Cell>{gate.reason}</Table.Cell>
                            <Table.Cell>
                                {Object.entries(gate.figures).map(([name, value]) => (
                                    <Text key={name} fontSize="sm">
                                        {name} {figure(value)}
                                    </Text>
                                ))}
                            </Table.Cell>
                        </Table.Row>
                    ))}
                </Table.Body>
            </Table.Root>
        </Table.ScrollArea>
    );
}

function Files({ detail }: { detail: VersionDetail }) {
    const place = ["models", detail.name, "versions", detail.version] as const;
    const rows = [
        ...detail.files.map((file) => ({ ...file, name: file.path, what: "artifact", url: undefined })),
        ...detail.attachments.map((kept) => ({
            ...kept,
            what: kept.media_type,
            url: api(...place, "attachments", kept.sha256),
        })),
    ];
    return (
        <>
            <Table.ScrollArea>
                <Table.Root size="sm">
                    <Table.Header>
                        <Table.Row>
                            {["Name", "What", "Bytes", "SHA-256"].map((title) => (
                                <Table.ColumnHeader key={title}>{title}</Table.ColumnHeader>
                            ))}
                        </Table.Row>
                    </Table.Header>
                    <Table.Body>
                        {rows.map((row) => (
                            <Table.Row key={`${row.what} ${row.name}`}>
                                <Table.Cell>
                                    {row.url === undefined ? (
                                        row.name
                                    ) : (
                                        <OutsideLink url={row.url}>{row.name}</OutsideLink>
                                    )}
                                </Table.Cell>
                                <Table.Cell>{row.what}</Table.Cell>
                                <Table.Cell>{row.size}</Table.Cell>
                                <Table.Cell>
                                    <Digest value={row.sha256} />
                                </Table.Cell>
                            </Table.Row>
                        ))}
                    </Table.Body>
                </Table.Root>
            </Table.ScrollArea>
            <Text mt={2}>
                <OutsideLink url={api(...place, "proof")}>
                    The proof bundle with the receipt and the signatures
                </OutsideLink>
                , for <code>veritas verify-proof</code>
            </Text>
        </>
    );
}
