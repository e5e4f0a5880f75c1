// uplot 1.6.32, MIT
export { default } from "uplot";
