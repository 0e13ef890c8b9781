// Airflow imports the bundle as a script that sets `AirflowPlugin`, and brings React, its router and Chakra itself.
import { defineConfig } from "vite";

const broughtByAirflow = {
    react: "React",
    "react-dom": "ReactDOM",
    "react/jsx-runtime": "ReactJSXRuntime",
    "react-router-dom": "ReactRouterDOM",
    "@chakra-ui/react": "ChakraUI",
};

export default defineConfig({
    define: { "process.env.NODE_ENV": JSON.stringify("production") },
    build: {
        outDir: "../veritasvault/console/static",
        emptyOutDir: true,
        // What all browsers of Airflow's UI understand.
        target: "es2022",
        lib: {
            entry: "src/main.tsx",
            formats: ["umd"],
            name: "AirflowPlugin",
            fileName: () => "console.js",
        },
        rolldownOptions: {
            external: Object.keys(broughtByAirflow),
            output: { globals: broughtByAirflow, exports: "default" },
        },
    },
});
