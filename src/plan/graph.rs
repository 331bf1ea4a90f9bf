//! The edges between the steps of a plan.

use std::collections::BTreeSet;

use petgraph::{
    Direction,
    graph::{DiGraph, NodeIndex},
    visit::{Dfs, EdgeRef, Reversed},
};

use crate::{base::named::Name, lang::StepId, plan::Step};

/// A graph without cycles: a step can only take what a step before it makes. Node numbers are step numbers.
#[derive(Clone, Debug, Default)]
pub struct Graph(DiGraph<StepId, Name>);

/// That the artifact of one step goes into a port of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: StepId,
    pub to: StepId,
    pub port: Name,
}

impl Graph {
    /// The graph of steps that stand in the order of a plan.
    #[must_use]
    pub fn new(steps: &[Step]) -> Self {
        let mut graph = DiGraph::with_capacity(steps.len(), steps.len());
        for step in steps {
            graph.add_node(step.id);
        }
        for step in steps {
            for (port, sources) in &step.inputs {
                for source in sources {
                    graph.add_edge(node(*source), node(step.id), port.clone());
                }
            }
        }
        Self(graph)
    }

    /// Every edge, by the step it comes from.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        let step = |at: NodeIndex| StepId(at.index());
        let edge = |it: petgraph::graph::EdgeReference<'_, Name>| Edge {
            from: step(it.source()),
            to: step(it.target()),
            port: it.weight().clone(),
        };
        let mut edges: Vec<Edge> = self.0.edge_references().map(edge).collect();
        edges.sort_unstable();
        edges
    }

    /// The steps whose artifacts a step takes.
    #[must_use]
    pub fn needs(&self, step: StepId) -> BTreeSet<StepId> {
        self.neighbours(step, Direction::Incoming)
    }

    /// The steps that take a step's artifact.
    #[must_use]
    pub fn users(&self, step: StepId) -> BTreeSet<StepId> {
        self.neighbours(step, Direction::Outgoing)
    }

    /// Everything that a step needs, however indirectly; the step itself is not among it.
    #[must_use]
    pub fn upstream(&self, step: StepId) -> BTreeSet<StepId> {
        let graph = Reversed(&self.0);
        let mut walk = Dfs::new(graph, self.start(step));
        self.walked(step, || walk.next(graph))
    }

    /// Everything that needs a step, however indirectly; the step itself is not among it.
    #[must_use]
    pub fn downstream(&self, step: StepId) -> BTreeSet<StepId> {
        let mut walk = Dfs::new(&self.0, self.start(step));
        self.walked(step, || walk.next(&self.0))
    }

    /// How far each step is from the start: nought where it needs nothing, else one more than the farthest it needs.
    #[must_use]
    pub fn depths(&self) -> Vec<usize> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.0.node_count());
        for id in self.0.node_indices() {
            let needed = self.0.neighbors_directed(id, Direction::Incoming);
            let deepest = needed.filter_map(|it| depths.get(it.index())).max();
            depths.push(deepest.map_or(0, |it| it + 1));
        }
        depths
    }

    /// A walk from a step that is not in the graph would panic, so it starts nowhere.
    fn start(&self, step: StepId) -> NodeIndex {
        if step.0 < self.0.node_count() { node(step) } else { NodeIndex::end() }
    }

    fn walked(&self, start: StepId, mut next: impl FnMut() -> Option<NodeIndex>) -> BTreeSet<StepId> {
        let mut steps = BTreeSet::new();
        if start.0 < self.0.node_count() {
            while let Some(at) = next() {
                steps.insert(StepId(at.index()));
            }
        }
        steps.remove(&start);
        steps
    }

    fn neighbours(&self, step: StepId, direction: Direction) -> BTreeSet<StepId> {
        self.0.neighbors_directed(node(step), direction).map(|it| StepId(it.index())).collect()
    }
}

fn node(step: StepId) -> NodeIndex {
    NodeIndex::new(step.0)
}
