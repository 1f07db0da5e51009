// The little of Node that shared/static/verify/cli.js uses; everything else in static/ runs in a browser.
declare module "node:fs" {
  export function openSync(path: string, flags: string): number;
  export function closeSync(file: number): void;
  export function readSync(file: number, into: Uint8Array, offset: number, length: number, at: null): number;
}

declare module "node:util" {
  export function parseArgs(config: {
    args: string[];
    options: Record<string, { type: "string" | "boolean" }>;
    allowPositionals: boolean;
  }): { values: Record<string, any>; positionals: string[] };
}

declare const process: {
  argv: string[];
  exitCode: number;
  stdout: { write(text: string): void };
  stderr: { write(text: string): void };
};
