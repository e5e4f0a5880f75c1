// marked 18.2.1, MIT
export * from "marked";
