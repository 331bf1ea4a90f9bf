//! A plan as a drawing, in the languages of Graphviz and Mermaid.

use std::fmt::Write;

use crate::plan::{Plan, graph::Edge};

/// The graph in DOT.
#[must_use]
pub fn dot(plan: &Plan) -> String {
    let mut text = String::from("digraph recipe {\n  rankdir = LR\n  node [shape = box, fontname = \"sans-serif\"]\n");
    for (id, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(text, "  s{id} [label = \"{}\\n{}\"]", quoted(&step.address), quoted(&step.stage));
    }
    for Edge { from, to, port } in plan.graph.edges() {
        let _ = writeln!(text, "  s{} -> s{} [label = \"{}\"]", from.0, to.0, quoted(&port));
    }
    text.push_str("}\n");
    text
}

/// The graph in Mermaid.
#[must_use]
pub fn mermaid(plan: &Plan) -> String {
    let mut text = String::from("flowchart LR\n");
    for (id, step) in plan.steps.iter().enumerate() {
        let address = step.address.replace('"', "#quot;");
        let _ = writeln!(text, "  s{id}[\"{address}<br/><i>{}</i>\"]", step.stage);
    }
    for Edge { from, to, port } in plan.graph.edges() {
        let _ = writeln!(text, "  s{} -->|{port}| s{}", from.0, to.0);
    }
    text
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
