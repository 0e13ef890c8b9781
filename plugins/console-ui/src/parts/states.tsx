// What a page shows while there is nothing to show: it loads, there is none, or something is wrong.
import { Alert, Button, EmptyState, HStack, Spinner, Text, VStack } from "@chakra-ui/react";
import { type ReactNode } from "react";

import { type Resource } from "../api/use-resource";

export function Loading({ what }: { what: string }) {
    return (
        <HStack role="status" p={6}>
            <Spinner size="sm" />
            <Text>Loading {what} …</Text>
        </HStack>
    );
}

export function Nothing({ title, advice }: { title: string; advice: string }) {
    return (
        <EmptyState.Root>
            <EmptyState.Content>
                <VStack textAlign="center">
                    <EmptyState.Title>{title}</EmptyState.Title>
                    <EmptyState.Description color="fg.muted">{advice}</EmptyState.Description>
                </VStack>
            </EmptyState.Content>
        </EmptyState.Root>
    );
}

export function Problem({ sentence, retry }: { sentence: string; retry?: () => void }) {
    return (
        <Alert.Root role="alert" status="error" alignItems="center">
            <Alert.Indicator />
            <Alert.Content>{sentence}</Alert.Content>
            {retry && (
                <Button size="xs" variant="outline" onClick={retry}>
                    Try again
                </Button>
            )}
        </Alert.Root>
    );
}

/** Shows a resource once it is there. */
export function Shown<T>({
    resource,
    what,
    children,
}: {
    resource: Resource<T>;
    what: string;
    children: (data: T) => ReactNode;
}) {
    if (resource.error) return <Problem sentence={resource.error.message} retry={resource.reload} />;
    if (resource.data === undefined) return <Loading what={what} />;
    return <>{children(resource.data)}</>;
}
