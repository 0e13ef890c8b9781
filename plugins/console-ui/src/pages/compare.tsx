// Two versions side by side; what differs is marked by a word, not by colour alone.
import { Badge, Checkbox, Field, Flex, NativeSelect, Table, Text } from "@chakra-ui/react";
import { useState } from "react";
import { useSearchParams } from "react-router-dom";

import { api, query } from "../api/client";
import { type Comparison, type Difference, type Versions } from "../api/types";
import { useResource } from "../api/use-resource";
import { figure } from "../parts/figures";
import { Frame, Section } from "../parts/frame";
import { Nothing, Shown } from "../parts/states";
import { VersionLink } from "../parts/links";
import { to } from "../routes";

const PARTS = {
    metrics: "Metrics",
    parameters: "Parameters",
    features: "Features",
    data: "Data",
    code: "Code and environment",
} as const;
const MOST = "200";

export function ComparePage({ name }: { name: string }) {
    const [search, setSearch] = useSearchParams();
    const [left, right] = [search.get("left"), search.get("right")];
    const [all, setAll] = useState(false);
    const versions = useResource<Versions>(query(api("models", name, "versions"), { limit: MOST }));
    const comparison = useResource<Comparison>(
        left && right ? query(api("models", name, "compare"), { left, right }) : null,
    );
    const numbers = versions.data?.versions.map((row) => String(row.version)) ?? [];
    const choose = (side: string, value: string) => {
        setSearch((before) => {
            const after = new URLSearchParams(before);
            after.set(side, value);
            return after;
        });
    };
    return (
        <Frame
            title="Compare"
            above={[
                ["Models", to.models()],
                [name, to.model(name)],
            ]}
        >
            <Flex align="end" gap={3} mb={4} wrap="wrap">
                {(["left", "right"] as const).map((side) => (
                    <Field.Root key={side} width="10rem">
                        <Field.Label>{side === "left" ? "Left version" : "Right version"}</Field.Label>
                        <NativeSelect.Root size="sm">
                            <NativeSelect.Field
                                value={search.get(side) ?? ""}
                                onChange={(event) => {
                                    choose(side, event.target.value);
                                }}
                            >
                                <option value="">choose</option>
                                {[...new Set([...numbers, search.get(side) ?? ""])]
                                    .filter(Boolean)
                                    .map((number) => (
                                        <option key={number}>{number}</option>
                                    ))}
                            </NativeSelect.Field>
                            <NativeSelect.Indicator />
                        </NativeSelect.Root>
                    </Field.Root>
                ))}
                <Checkbox.Root
                    checked={all}
                    onCheckedChange={({ checked }) => {
                        setAll(checked === true);
                    }}
                >
                    <Checkbox.HiddenInput />
                    <Checkbox.Control />
                    <Checkbox.Label>Show what is equal, too</Checkbox.Label>
                </Checkbox.Root>
            </Flex>
            {left && right ? (
                <Shown resource={comparison} what="the comparison">
                    {(found) => (
                        <>
                            {(Object.keys(PARTS) as (keyof typeof PARTS)[]).map((part) => (
                                <Section key={part} title={PARTS[part]}>
                                    <Differences name={name} found={found} rows={found[part]} all={all} />
                                </Section>
                            ))}
                        </>
                    )}
                </Shown>
            ) : (
                <Nothing title="Nothing to compare yet" advice="Choose two versions." />
            )}
        </Frame>
    );
}

interface DifferencesProps {
    name: string;
    found: Comparison;
    rows: Difference[];
    all: boolean;
}

function Differences({ name, found, rows, all }: DifferencesProps) {
    const differs = (row: Difference) => JSON.stringify(row.left) !== JSON.stringify(row.right);
    const shown = all ? rows : rows.filter(differs);
    if (shown.length === 0)
        return (
            <Text color="fg.muted">
                {rows.length === 0 ? "Neither has any." : `All ${rows.length} are equal.`}
            </Text>
        );
    return (
        <Table.ScrollArea>
            <Table.Root size="sm" tableLayout="fixed" minWidth="40rem">
                <Table.Header>
                    <Table.Row>
                        <Table.ColumnHeader>Name</Table.ColumnHeader>
                        <Table.ColumnHeader>
                            <VersionLink name={name} version={found.left.version} />
                        </Table.ColumnHeader>
                        <Table.ColumnHeader>
                            <VersionLink name={name} version={found.right.version} />
                        </Table.ColumnHeader>
                        <Table.ColumnHeader width="7rem">Result</Table.ColumnHeader>
                    </Table.Row>
                </Table.Header>
                <Table.Body>
                    {shown.map((row) => (
                        <Table.Row key={row.name}>
                            <Table.Cell>{row.name}</Table.Cell>
                            <Table.Cell wordBreak="break-all">{figure(row.left)}</Table.Cell>
                            <Table.Cell wordBreak="break-all">{figure(row.right)}</Table.Cell>
                            <Table.Cell>
                                <Badge colorPalette={differs(row) ? "orange" : "gray"}>
                                    {differs(row) ? "differs" : "equal"}
                                </Badge>
                            </Table.Cell>
                        </Table.Row>
                    ))}
                </Table.Body>
            </Table.Root>
        </Table.ScrollArea>
    );
}
