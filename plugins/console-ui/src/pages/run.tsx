// The tab of a DAG run: what it registered, and if it did not, why.
import { Box, Text } from "@chakra-ui/react";

import { api } from "../api/client";
import { type RunResults } from "../api/types";
import { useResource } from "../api/use-resource";
import { Frame, Section } from "../parts/frame";
import { PageLink } from "../parts/links";
import { Nothing, Problem, Shown } from "../parts/states";
import { to } from "../routes";

const SAID = {
    registered: "registered",
    not_reproduced: "trained again with another artifact, so the first one stays",
    refused: "refused by its gates",
};

export function RunTab({ dagId, runId }: { dagId: string; runId: string }) {
    const results = useResource<RunResults>(api("runs", dagId, runId));
    return (
        <Frame title="Models of this run">
            <Shown resource={results} what="what the run registered">
                {({ versions, failure }) => (
                    <>
                        {failure && (
                            <Box mb={4}>
                                <Problem sentence={`${failure.task} failed: ${failure.sentence}`} />
                            </Box>
                        )}
                        {versions.map((each) => (
                            <Section
                                key={`${each.name} ${each.version ?? ""} ${each.outcome}`}
                                title={each.name}
                            >
                                <Text>
                                    {each.version !== null && (
                                        <PageLink address={to.version(each.name, each.version)}>
                                            version {each.version}
                                        </PageLink>
                                    )}{" "}
                                    {SAID[each.outcome]}
                                </Text>
                                <Box as="ul">
                                    {each.reasons.map((reason) => (
                                        <li key={reason}>{reason}</li>
                                    ))}
                                </Box>
                            </Section>
                        ))}
                        {versions.length === 0 && !failure && (
                            <Nothing
                                title="This run registered nothing"
                                advice="It is not over yet, trains no model, or gave a version that was there already."
                            />
                        )}
                    </>
                )}
            </Shown>
        </Frame>
    );
}
