// One model: its health, its measures over time, its versions, and what happened to it.
import { Alert, Box, Button, Field, Flex, NativeSelect, Table, Text } from "@chakra-ui/react";
import { useState } from "react";
import { Link } from "react-router-dom";

import { api } from "../api/client";
import { type History, type Model, type Point, type VersionRow, type Versions } from "../api/types";
import { usePages } from "../api/use-pages";
import { useResource } from "../api/use-resource";
import { GatesBadge, StandingBadge, TierBadge } from "../parts/badges";
import { figure, moment } from "../parts/figures";
import { Frame, Section } from "../parts/frame";
import { Health } from "../parts/health";
import { VersionLink } from "../parts/links";
import { MetricChart } from "../parts/metric-chart";
import { Problem, Shown } from "../parts/states";
import { TimelineList } from "../parts/timeline";
import { to } from "../routes";

export function ModelPage({ name }: { name: string }) {
    const model = useResource<Model>(api("models", name));
    const newest = model.data?.latest.version;
    const other =
        model.data?.champion?.version ?? (newest !== undefined && newest > 1 ? newest - 1 : undefined);
    return (
        <Frame
            title={name}
            above={[["Models", to.models()]]}
            beside={model.data && <Beside model={model.data} />}
            actions={
                newest !== undefined &&
                other !== undefined && (
                    <Button asChild size="sm" variant="outline">
                        <Link to={to.compare(name, other, newest)}>Compare versions</Link>
                    </Button>
                )
            }
        >
            <Shown resource={model} what="the model">
                {(found) => (
                    <>
                        {found.problems.map((problem) => (
                            <Box key={problem} mb={4}>
                                <Problem sentence={problem} />
                            </Box>
                        ))}
                        {found.halted !== null && (
                            <Alert.Root mb={4} status="warning">
                                <Alert.Indicator />
                                <Alert.Content>Promotions are halted: {found.halted}</Alert.Content>
                            </Alert.Root>
                        )}
                        <Text mb={4}>{found.purpose}</Text>
                        <Measures name={name} />
                        <VersionsTable name={name} />
                        <Section title="What happened">
                            <TimelineList name={name} />
                        </Section>
                    </>
                )}
            </Shown>
        </Frame>
    );
}

function Beside({ model }: { model: Model }) {
    return (
        <>
            <TierBadge tier={model.risk_tier} />
            <Text color="fg.muted">{model.owner}</Text>
            <Health model={model} />
        </>
    );
}

function Measures({ name }: { name: string }) {
    const { first, rows, more, error } = usePages<History, Point>(
        api("models", name, "history"),
        (page) => page.points,
    );
    const [chosen, setChosen] = useState<string>();
    const history = first.data;
    const metric = chosen ?? (history?.metrics.includes("qlike") ? "qlike" : history?.metrics[0]);
    return (
        <Section title="Measures">
            <Shown resource={first} what="measures">
                {() =>
                    history === undefined || metric === undefined ? (
                        <Text color="fg.muted">No version was evaluated yet.</Text>
                    ) : (
                        <>
                            <Flex align="end" gap={3} mb={3}>
                                <Field.Root width="14rem">
                                    <Field.Label>Metric</Field.Label>
                                    <NativeSelect.Root size="sm">
                                        <NativeSelect.Field
                                            value={metric}
                                            onChange={(event) => {
                                                setChosen(event.target.value);
                                            }}
                                        >
                                            {history.metrics.map((each) => (
                                                <option key={each}>{each}</option>
                                            ))}
                                        </NativeSelect.Field>
                                        <NativeSelect.Indicator />
                                    </NativeSelect.Root>
                                </Field.Root>
                                {more && (
                                    <Button size="sm" variant="outline" onClick={more}>
                                        Earlier versions
                                    </Button>
                                )}
                            </Flex>
                            {error && <Problem sentence={error.message} />}
                            <MetricChart
                                name={name}
                                metric={metric}
                                points={rows}
                                champions={history.champions}
                            />
                            <Champions name={name} history={history} />
                        </>
                    )
                }
            </Shown>
        </Section>
    );
}

function Champions({ name, history }: { name: string; history: History }) {
    if (history.champions.length === 0) return <Text mt={2}>No version was champion yet.</Text>;
    return (
        <Box as="ul" listStyleType="none" mt={3}>
            {history.champions.map((period) => (
                <li key={period.since}>
                    <VersionLink name={name} version={period.version} />, as of {period.as_of ?? "no date"},
                    champion from {moment(period.since)}{" "}
                    {period.until === null ? "until now" : `until ${moment(period.until)}`}
                </li>
            ))}
        </Box>
    );
}

function VersionsTable({ name }: { name: string }) {
    const { first, rows, more, error } = usePages<Versions, VersionRow>(
        api("models", name, "versions"),
        (page) => page.versions,
    );
    const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))].sort();
    return (
        <Section title="Versions">
            <Shown resource={first} what="versions">
                {() => (
                    <>
                        <Table.ScrollArea>
                            <Table.Root size="sm" striped>
                                <Table.Header>
                                    <Table.Row>
                                        {[
                                            "Version",
                                            "As of",
                                            "Registered",
                                            "Gates",
                                            "Standing",
                                            ...metrics,
                                        ].map((title) => (
                                            <Table.ColumnHeader key={title}>{title}</Table.ColumnHeader>
                                        ))}
                                    </Table.Row>
                                </Table.Header>
                                <Table.Body>
                                    {rows.map((row) => (
                                        <Table.Row key={row.version}>
                                            <Table.Cell>
                                                <VersionLink name={name} version={row.version} />
                                            </Table.Cell>
                                            <Table.Cell>{row.as_of ?? "none"}</Table.Cell>
                                            <Table.Cell>
                                                {row.registered_at === null
                                                    ? "unreadable"
                                                    : moment(row.registered_at)}
                                            </Table.Cell>
                                            <Table.Cell>
                                                <GatesBadge outcome={row.gates} />
                                                {row.problem !== null && (
                                                    <Text color="fg.error">{row.problem}</Text>
                                                )}
                                            </Table.Cell>
                                            <Table.Cell>
                                                <StandingBadge standing={row.state} />
                                            </Table.Cell>
                                            {metrics.map((metric) => (
                                                <Table.Cell key={metric}>
                                                    {figure(row.metrics[metric])}
                                                </Table.Cell>
                                            ))}
                                        </Table.Row>
                                    ))}
                                </Table.Body>
                            </Table.Root>
                        </Table.ScrollArea>
                        {error && <Problem sentence={error.message} />}
                        {more && (
                            <Button mt={3} size="sm" variant="outline" onClick={more}>
                                Earlier versions
                            </Button>
                        )}
                    </>
                )}
            </Shown>
        </Section>
    );
}
