// A model's health at a glance, in words, not in colours alone.
import { Badge, Wrap } from "@chakra-ui/react";

import { type Model } from "../api/types";
import { days, moment } from "./figures";

export function Health({ model }: { model: Model }) {
    const { champion, drift, halted, problems, verified } = model;
    return (
        <Wrap gap={1}>
            {problems.length > 0 && (
                <Badge colorPalette="red" title={problems.join("; ")}>
                    unreadable
                </Badge>
            )}
            {halted !== null && (
                <Badge colorPalette="red" title={halted}>
                    halted
                </Badge>
            )}
            {champion?.overdue && (
                <Badge
                    colorPalette="orange"
                    title={
                        champion.age_days === null
                            ? ""
                            : `The champion's data is ${days(champion.age_days)} old`
                    }
                >
                    overdue
                </Badge>
            )}
            {drift && (
                <Badge
                    colorPalette={drift.status === "breach" ? "red" : "green"}
                    title={`Looked at ${moment(drift.at)}`}
                >
                    {drift.status === "breach" ? "drift" : "no drift"}
                </Badge>
            )}
            {verified && (
                <Badge
                    colorPalette={verified.status === "failed" ? "red" : "green"}
                    title={[`Read again at ${moment(verified.at)}`, ...verified.problems].join("; ")}
                >
                    {verified.status === "failed" ? "not verified" : "verified"}
                </Badge>
            )}
        </Wrap>
    );
}
