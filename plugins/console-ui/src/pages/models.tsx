// All models: found by text, risk tier and what needs attention, all of it in the address.
import { Box, Button, Field, Flex, HStack, Input, NativeSelect, Table, Text } from "@chakra-ui/react";
import { useEffect, useState } from "react";
import { useSearchParams } from "react-router-dom";

import { api, query } from "../api/client";
import { type Model, type Models } from "../api/types";
import { useResource } from "../api/use-resource";
import { TierBadge } from "../parts/badges";
import { days, moment } from "../parts/figures";
import { Frame } from "../parts/frame";
import { Health } from "../parts/health";
import { PageLink, VersionLink } from "../parts/links";
import { Nothing, Shown } from "../parts/states";
import { to } from "../routes";

const TIERS = { "1": "1 high", "2": "2 medium", "3": "3 low" };
const ATTENTION = {
    overdue: "champion overdue",
    halted: "promotions halted",
    drift: "drift",
    challenger: "challenger waits",
};
const TYPING_MILLISECONDS = 250;

export function ModelsPage() {
    const [search, setSearch] = useSearchParams();
    const [text, setText] = useState(search.get("search") ?? "");
    const parameters = Object.fromEntries(search);
    const models = useResource<Models>(query(api("models"), parameters));

    const change = (name: string, value: string | null) => {
        setSearch(
            (before) => {
                const after = new URLSearchParams(before);
                if (name !== "cursor") after.delete("cursor");
                if (value) after.set(name, value);
                else after.delete(name);
                return after;
            },
            { replace: name === "search" },
        );
    };

    useEffect(() => {
        if (text === (search.get("search") ?? "")) return undefined;
        const waiting = setTimeout(() => {
            change("search", text);
        }, TYPING_MILLISECONDS);
        return () => {
            clearTimeout(waiting);
        };
    });

    const filtered = ["search", "tier", "attention"].some((name) => search.has(name));
    return (
        <Frame title="Models">
            <Flex as="search" gap={3} mb={4} wrap="wrap">
                <Field.Root width="16rem">
                    <Field.Label>Name, owner or purpose</Field.Label>
                    <Input
                        type="search"
                        value={text}
                        onChange={(event) => {
                            setText(event.target.value);
                        }}
                    />
                </Field.Root>
                <Choice
                    label="Risk tier"
                    options={TIERS}
                    value={search.get("tier")}
                    choose={(value) => {
                        change("tier", value);
                    }}
                />
                <Choice
                    label="Needs attention"
                    options={ATTENTION}
                    value={search.get("attention")}
                    choose={(value) => {
                        change("attention", value);
                    }}
                />
            </Flex>
            <Shown resource={models} what="models">
                {(found) =>
                    found.models.length === 0 ? (
                        <Nothing
                            title={filtered ? "No model is like this" : "No model is registered yet"}
                            advice={
                                filtered
                                    ? "Change what you look for."
                                    : "Trigger a pipeline, such as volatility_forecast."
                            }
                        />
                    ) : (
                        <>
                            <ModelTable models={found.models} />
                            <HStack mt={3}>
                                <Text color="fg.muted">
                                    {found.total === 1 ? "1 model" : `${found.total} models`}
                                </Text>
                                {search.has("cursor") && (
                                    <Button
                                        size="sm"
                                        variant="outline"
                                        onClick={() => {
                                            change("cursor", null);
                                        }}
                                    >
                                        First page
                                    </Button>
                                )}
                                {found.next !== null && (
                                    <Button
                                        size="sm"
                                        variant="outline"
                                        onClick={() => {
                                            change("cursor", found.next);
                                        }}
                                    >
                                        Next page
                                    </Button>
                                )}
                            </HStack>
                        </>
                    )
                }
            </Shown>
        </Frame>
    );
}

function Choice({
    label,
    options,
    value,
    choose,
}: {
    label: string;
    options: Record<string, string>;
    value: string | null;
    choose: (value: string) => void;
}) {
    return (
        <Field.Root width="12rem">
            <Field.Label>{label}</Field.Label>
            <NativeSelect.Root>
                <NativeSelect.Field
                    value={value ?? ""}
                    onChange={(event) => {
                        choose(event.target.value);
                    }}
                >
                    <option value="">any</option>
                    {Object.entries(options).map(([option, shown]) => (
                        <option key={option} value={option}>
                            {shown}
                        </option>
                    ))}
                </NativeSelect.Field>
                <NativeSelect.Indicator />
            </NativeSelect.Root>
        </Field.Root>
    );
}

function ModelTable({ models }: { models: Model[] }) {
    return (
        <Table.ScrollArea>
            <Table.Root size="sm" striped>
                <Table.Header>
                    <Table.Row>
                        <Table.ColumnHeader>Model</Table.ColumnHeader>
                        <Table.ColumnHeader>Risk tier</Table.ColumnHeader>
                        <Table.ColumnHeader>Champion</Table.ColumnHeader>
                        <Table.ColumnHeader>Challenger</Table.ColumnHeader>
                        <Table.ColumnHeader>Newest</Table.ColumnHeader>
                        <Table.ColumnHeader>Health</Table.ColumnHeader>
                    </Table.Row>
                </Table.Header>
                <Table.Body>
                    {models.map((model) => (
                        <ModelRow key={model.name} model={model} />
                    ))}
                </Table.Body>
            </Table.Root>
        </Table.ScrollArea>
    );
}

function ModelRow({ model }: { model: Model }) {
    const { name, champion, challenger, latest } = model;
    return (
        <Table.Row>
            <Table.Cell>
                <PageLink address={to.model(name)}>{name}</PageLink>
                <Text color="fg.muted" fontSize="sm">
                    {model.owner}
                </Text>
            </Table.Cell>
            <Table.Cell>
                <TierBadge tier={model.risk_tier} />
            </Table.Cell>
            <Table.Cell>
                {champion ? (
                    <Box>
                        <VersionLink name={name} version={champion.version} />
                        <Text color="fg.muted" fontSize="sm">
                            as of {champion.as_of ?? "no date"}
                            {champion.age_days !== null && `, ${days(champion.age_days)} old`}
                        </Text>
                    </Box>
                ) : (
                    "none"
                )}
            </Table.Cell>
            <Table.Cell>
                {challenger ? <VersionLink name={name} version={challenger.version} /> : "none"}
            </Table.Cell>
            <Table.Cell>
                <VersionLink name={name} version={latest.version} />
                <Text color="fg.muted" fontSize="sm">
                    {latest.registered_at === null ? "unreadable" : moment(latest.registered_at)}
                </Text>
            </Table.Cell>
            <Table.Cell>
                <Health model={model} />
            </Table.Cell>
        </Table.Row>
    );
}
