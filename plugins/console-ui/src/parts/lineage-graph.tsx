// Where a version comes from and what became of it, from the snapshot to the champion's place.
import { Box } from "@chakra-ui/react";
import { Link } from "react-router-dom";

import { address } from "../api/client";
import { type VersionDetail } from "../api/types";
import { to } from "../routes";

const WIDTH = 150;
const HEIGHT = 54;
const ACROSS = 180;
const DOWN = 84;

interface Node {
    id: string;
    title: string;
    about: string;
    column: number;
    row: number;
    /** A page of the UI, or an address of its own. */
    page?: string | undefined;
    url?: string | undefined;
}

type Edge = [from: string, to: string];

const EDGES: Edge[] = [
    ["snapshot", "rows"],
    ["rows", "features"],
    ["rows", "validation"],
    ["features", "training"],
    ["code", "training"],
    ["environment", "training"],
    ["training", "version"],
    ["training", "tracking"],
    ["validation", "gates"],
    ["version", "gates"],
    ["gates", "standing"],
];

export function LineageGraph({ version }: { version: VersionDetail }) {
    const nodes = nodesOf(version);
    const columns = Math.max(...nodes.map((node) => node.column)) + 1;
    return (
        <Box overflowX="auto">
            <svg
                aria-label={`Lineage of ${version.reference}`}
                role="group"
                viewBox={`0 0 ${columns * ACROSS} ${3 * DOWN}`}
                style={{ minWidth: 800, width: "100%", maxWidth: columns * ACROSS }}
            >
                <g aria-hidden stroke="var(--chakra-colors-fg-muted)" fill="none">
                    {EDGES.map(([from, until]) => (
                        <Arrow key={`${from}-${until}`} from={find(nodes, from)} until={find(nodes, until)} />
                    ))}
                </g>
                {nodes.map((node) => (
                    <Place key={node.id} node={node} />
                ))}
            </svg>
        </Box>
    );
}

function nodesOf(version: VersionDetail): Node[] {
    const { links, lineage, name } = version;
    const cut = (field: string) => {
        const value = lineage?.[field];
        return typeof value === "string" ? value.slice(0, 12) : "not recorded";
    };
    const failed = version.gates.filter((gate) => gate.outcome !== "passed").length;
    const run = links.run;
    return [
        { id: "code", title: "Code", about: cut("sources"), column: 2, row: 0 },
        {
            id: "tracking",
            title: "MLflow run",
            about: trackedAs(version),
            column: 4,
            row: 0,
            url: links.tracking ?? undefined,
        },
        {
            id: "snapshot",
            title: "Snapshot (DVC)",
            about: links.snapshot?.slice(0, 12) ?? "none",
            column: 0,
            row: 1,
            page: "#provenance-heading",
        },
        { id: "rows", title: "Rows", about: cut("data"), column: 1, row: 1 },
        { id: "features", title: "Features", about: cut("features"), column: 2, row: 1 },
        {
            id: "training",
            title: "Airflow run",
            about: run?.dag_id ?? "trained elsewhere",
            column: 3,
            row: 1,
            page: run ? to.airflow(run.url) : undefined,
        },
        {
            id: "version",
            title: `Version ${version.version}`,
            about: version.model_id.slice(0, 12),
            column: 4,
            row: 1,
            page: "#verification-heading",
        },
        {
            id: "gates",
            title: "Gates",
            about: failed === 0 ? `${version.gates.length} passed` : `${failed} not passed`,
            column: 5,
            row: 1,
            page: "#gates-heading",
        },
        {
            id: "standing",
            title: "Standing",
            about: version.state ?? "not decided",
            column: 6,
            row: 1,
            page: to.model(name),
        },
        { id: "environment", title: "Environment", about: cut("environment"), column: 2, row: 2 },
        {
            id: "validation",
            title: "Validation report",
            about: links.validation_report ? "data-validation.json" : "none",
            column: 4,
            row: 2,
            url: links.validation_report ? address(`api/v1/${links.validation_report}`) : undefined,
        },
    ];
}

function trackedAs(version: VersionDetail): string {
    const run = version.provenance.tracked_as;
    return run === undefined ? "not tracked" : run.slice(0, 12);
}

function find(nodes: Node[], id: string): Node {
    return nodes.find((node) => node.id === id) as Node;
}

function Place({ node }: { node: Node }) {
    const box = <NodeBox node={node} linked={node.page !== undefined || node.url !== undefined} />;
    if (node.url !== undefined)
        return (
            <a href={node.url} rel="noopener noreferrer" target="_blank">
                {box}
            </a>
        );
    if (node.page?.startsWith("#"))
        return (
            <a
                href={node.page}
                onClick={(event) => {
                    // Airflow's <base> would make another page of a fragment.
                    event.preventDefault();
                    document.querySelector(node.page ?? "")?.scrollIntoView();
                }}
            >
                {box}
            </a>
        );
    if (node.page !== undefined) return <Link to={node.page}>{box}</Link>;
    return box;
}

function NodeBox({ node, linked }: { node: Node; linked: boolean }) {
    const [x, y] = [node.column * ACROSS, node.row * DOWN + 10];
    return (
        <g fill="currentColor">
            <rect
                x={x + 1}
                y={y}
                width={WIDTH}
                height={HEIGHT}
                rx={6}
                fill="var(--chakra-colors-bg-subtle)"
                stroke={
                    linked
                        ? "var(--chakra-colors-fg-info, currentColor)"
                        : "var(--chakra-colors-border-emphasized)"
                }
                strokeWidth={linked ? 2 : 1}
            />
            <text
                x={x + 10}
                y={y + 22}
                style={{ fontSize: 13, fontWeight: 600, textDecoration: linked ? "underline" : "none" }}
            >
                {node.title}
            </text>
            <text x={x + 10} y={y + 41} style={{ fontSize: 12 }}>
                {node.about}
            </text>
        </g>
    );
}

function Arrow({ from, until }: { from: Node; until: Node }) {
    const [x1, y1] = [from.column * ACROSS + WIDTH, from.row * DOWN + 10 + HEIGHT / 2];
    const [x2, y2] = [until.column * ACROSS, until.row * DOWN + 10 + HEIGHT / 2];
    const middle = (x1 + x2) / 2;
    return (
        <g>
            <path d={`M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`} />
            <path d={`M${x2 - 6},${y2 - 4} L${x2},${y2} L${x2 - 6},${y2 + 4}`} />
        </g>
    );
}
