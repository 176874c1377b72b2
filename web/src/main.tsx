import { render } from "preact";
import { App } from "./App";
import { recall } from "./state/session";

const root = document.getElementById("page");
if (root) render(<App />, root);
void recall();
