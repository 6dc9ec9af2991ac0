//! Whether a graph is sound: each value is given once, and before anybody reads it.

use std::collections::HashSet;

use cenet_serve::model::fuzz::{GraphProto, ModelProto, NodeProto};

/// The first fault of the model's graph.
///
/// # Errors
/// Says which value is at fault.
pub(crate) fn check(model: &ModelProto) -> Result<(), String> {
    let graph = model.graph.as_ref().ok_or("no graph")?;
    let constants = graph.initializer.iter().map(|tensor| tensor.name().to_owned());
    let mut given: HashSet<String> = graph.input.iter().map(|input| input.name().to_owned()).chain(constants).collect();
    walk(graph, &mut given)
}

/// Goes through a graph in which `given` may be read.
fn walk(graph: &GraphProto, given: &mut HashSet<String>) -> Result<(), String> {
    for node in &graph.node {
        for name in &node.input {
            read(name, given)?;
        }
        for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            walk(inner, &mut given.clone())?;
        }
        for name in &node.output {
            if !given.insert(name.clone()) {
                return Err(format!("{name} is given twice"));
            }
        }
    }
    graph.output.iter().try_for_each(|output| read(output.name(), given))
}

fn read(name: &str, given: &HashSet<String>) -> Result<(), String> {
    if given.contains(name) { Ok(()) } else { Err(format!("{name} is read but not given before")) }
}

/// How many CE nodes the graph has as its file has them.
pub(crate) fn blocks(model: &ModelProto) -> usize {
    let nodes = model.graph.iter().flat_map(|graph| &graph.node);
    nodes.filter(|node| (node.domain(), node.op_type()) == ("ai.cenet", "ChannelEquilibrium")).count()
}

/// A node a line.
pub(crate) fn text(model: &ModelProto) -> String {
    let line =
        |node: &NodeProto| format!("{} = {}({})\n", node.output.join(", "), node.op_type(), node.input.join(", "));
    let graph = model.graph.as_ref();
    let outputs: Vec<_> = graph.iter().flat_map(|graph| &graph.output).map(|output| output.name()).collect();
    let nodes: String = graph.iter().flat_map(|graph| &graph.node).map(line).collect();
    format!("{nodes}-> {}", outputs.join(", "))
}
