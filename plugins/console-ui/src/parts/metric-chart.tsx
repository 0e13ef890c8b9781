// A measure of all versions over their as-of dates, its baselines dashed, champions ringed.
import { Box, Flex, Text } from "@chakra-ui/react";
import { useNavigate } from "react-router-dom";

import { type ChampionPeriod, type Point } from "../api/types";
import { to } from "../routes";
import { figure } from "./figures";

const WIDTH = 860;
const HEIGHT = 260;
const LEFT = 72;
const BOTTOM = 28;
const TOP = 12;
const RIGHT = 110;
const DASHES = ["6 4", "2 3", "10 4 2 4", "1 5"];

interface Dot {
    version: number;
    date: string;
    value: number;
    baselines: Record<string, number>;
}

interface Props {
    name: string;
    metric: string;
    points: Point[];
    champions: ChampionPeriod[];
}

export function MetricChart({ name, metric, points, champions }: Props) {
    const navigate = useNavigate();
    const dots = dotsOf(points, metric);
    const [first] = dots;
    if (first === undefined)
        return <Text color="fg.muted">No version with an as-of date measured {metric}.</Text>;
    const bases = [...new Set(dots.flatMap((dot) => Object.keys(dot.baselines)))].sort();
    const values = dots.flatMap((dot) => [dot.value, ...Object.values(dot.baselines)]);
    const x = scale(
        dots.map((dot) => Date.parse(dot.date)),
        LEFT,
        WIDTH - RIGHT,
    );
    const y = scale(values, HEIGHT - BOTTOM, TOP);
    const at = (dot: Dot) => x(Date.parse(dot.date));
    const path = (value: (dot: Dot) => number | undefined) =>
        dots
            .flatMap((dot) => {
                const found = value(dot);
                return found === undefined ? [] : [`${at(dot).toFixed(1)},${y(found).toFixed(1)}`];
            })
            .join(" ");
    const last = dots.at(-1) ?? first;
    const reigned = new Set(champions.map((period) => period.version));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (
        <Box overflowX="auto">
            <svg
                aria-label={`${metric} of ${dots.length} versions from ${first.date} to ${last.date}, between ${figure(low)} and ${figure(high)}; the table of versions has the figures`}
                role="img"
                viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
                style={{ fontSize: 11, minWidth: 480, width: "100%", maxWidth: WIDTH }}
            >
                {[low, high].map((value) => (
                    <g key={value} fill="currentColor">
                        <line
                            x1={LEFT}
                            x2={WIDTH - RIGHT}
                            y1={y(value)}
                            y2={y(value)}
                            stroke="currentColor"
                            opacity={0.15}
                        />
                        <text x={LEFT - 8} y={y(value) + 4} textAnchor="end">
                            {figure(value)}
                        </text>
                    </g>
                ))}
                <g fill="currentColor">
                    <text x={at(first)} y={HEIGHT - 8}>
                        {first.date}
                    </text>
                    {last !== first && (
                        <text x={at(last)} y={HEIGHT - 8} textAnchor="end">
                            {last.date}
                        </text>
                    )}
                </g>
                {bases.map((base, place) => (
                    <g key={base} color="var(--chakra-colors-fg-muted)">
                        <polyline
                            points={path((dot) => dot.baselines[base])}
                            fill="none"
                            stroke="currentColor"
                            strokeDasharray={DASHES[place % DASHES.length]}
                        />
                        <text x={at(last) + 8} y={y(last.baselines[base] ?? high) + 4} fill="currentColor">
                            {base}
                        </text>
                    </g>
                ))}
                <polyline
                    points={path((dot) => dot.value)}
                    fill="none"
                    stroke="var(--chakra-colors-fg-info, currentColor)"
                    strokeWidth={2}
                />
                {dots.map((dot) => (
                    <g
                        key={dot.version}
                        onClick={() => {
                            void navigate(to.version(name, dot.version));
                        }}
                        style={{ cursor: "pointer" }}
                    >
                        <title>{`version ${dot.version}, as of ${dot.date}: ${metric} ${figure(dot.value)}`}</title>
                        {reigned.has(dot.version) && (
                            <circle
                                cx={at(dot)}
                                cy={y(dot.value)}
                                r={9}
                                fill="none"
                                stroke="var(--chakra-colors-green-500)"
                                strokeWidth={3}
                            />
                        )}
                        <circle
                            cx={at(dot)}
                            cy={y(dot.value)}
                            r={4}
                            fill="var(--chakra-colors-fg-info, currentColor)"
                        />
                    </g>
                ))}
            </svg>
            <Flex color="fg.muted" fontSize="sm" gap={4} wrap="wrap">
                <Text>Line: {metric} of each version by its as-of date</Text>
                <Text>Green ring: was or is champion</Text>
                {bases.length > 0 && <Text>Dashed: baselines {bases.join(", ")}</Text>}
            </Flex>
        </Box>
    );
}

function dotsOf(points: Point[], metric: string): Dot[] {
    return points
        .flatMap((point) => {
            const value = point.values[metric];
            if (value === undefined || point.as_of === null) return [];
            const baselines = Object.fromEntries(
                Object.entries(point.baselines).flatMap(([base, measured]) =>
                    measured[metric] === undefined ? [] : [[base, measured[metric]]],
                ),
            );
            return [{ version: point.version, date: point.as_of, value, baselines }];
        })
        .sort((left, right) => left.date.localeCompare(right.date) || left.version - right.version);
}

/** From the range of values to a range of the drawing; a single value lies in the middle. */
function scale(values: number[], start: number, end: number): (value: number) => number {
    const low = Math.min(...values);
    const span = Math.max(...values) - low;
    return (value) => (span === 0 ? (start + end) / 2 : start + ((value - low) / span) * (end - start));
}
