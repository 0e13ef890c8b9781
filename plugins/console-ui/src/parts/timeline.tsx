// What happened to a model, newest first, by whom and why.
import { Badge, Box, Button, Flex, Text } from "@chakra-ui/react";

import { api } from "../api/client";
import { type Happening, type Timeline } from "../api/types";
import { usePages } from "../api/use-pages";
import { moment } from "./figures";
import { VersionLink } from "./links";
import { Problem, Shown } from "./states";

export function TimelineList({ name }: { name: string }) {
    const { first, rows, more, error } = usePages<Timeline, Happening>(
        api("models", name, "timeline"),
        (page) => page.events,
    );
    return (
        <Shown resource={first} what="events">
            {() => (
                <>
                    <Box as="ol" listStyleType="none">
                        {rows.map((event) => (
                            <Event key={event.index} event={event} name={name} />
                        ))}
                    </Box>
                    {error && <Problem sentence={error.message} />}
                    {more && (
                        <Button size="sm" variant="outline" onClick={more}>
                            Earlier events
                        </Button>
                    )}
                </>
            )}
        </Shown>
    );
}

function Event({ event, name }: { event: Happening; name: string }) {
    return (
        <Box as="li" borderLeftWidth={2} mb={3} pl={3}>
            <Flex align="center" gap={2} wrap="wrap">
                <Text color="fg.muted" fontSize="sm">
                    {moment(event.at)}
                </Text>
                <Text fontWeight="medium">{event.summary}</Text>
                {event.version !== null && <VersionLink name={name} version={event.version} />}
                {event.actor !== null && <Badge>{event.actor}</Badge>}
            </Flex>
            {event.reason !== null && <Text fontSize="sm">{event.reason}</Text>}
            <Text color="fg.muted" fontSize="xs">
                ledger entry {event.index}, {event.kind}
            </Text>
        </Box>
    );
}
