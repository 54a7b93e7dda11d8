//! Which functions carry the call-depth counter, and how much each adds (`faults.md` F28).
//!
//! Native frames differ by compiler and processor, so the native stack must never be what ends a recursion: a counter in the module
//! trips first, at the same call on every host. To be cheap, only enough functions carry it that every cycle of the call graph passes
//! through one: the targets of back edges of a depth-first walk. Each adds an upper bound of the frames that can be live between itself
//! and the next carrier: its own and the longest chain of functions without a counter below it.
//!
//! The graph errs on the side of cycles: a call through a table may reach every table function of that type, a call of an import
//! (`invoke_*` and the like) every table function and every export.

use crate::admission::Survey;

/// The carriers.
#[derive(Debug)]
pub(super) struct Depth {
    /// By defined function: words added on entry; 0 where the function carries no counter.
    weights: Vec<u64>,
}

/// Call graph over defined functions, then one node per type (its table functions), then one for "anything the host may call".
struct Graph {
    edges: Vec<Vec<usize>>,
    words: Vec<u64>,
    functions: usize,
}

impl Graph {
    fn of(survey: &Survey) -> Self {
        let functions = survey.bodies.len();
        let imports = survey.imports.len();
        let any = functions + survey.types.len();
        let mut edges = vec![Vec::new(); any + 1];
        for (index, body) in survey.bodies.iter().enumerate() {
            for callee in &body.calls {
                match (*callee as usize).checked_sub(imports) {
                    Some(defined) => edges[index].push(defined),
                    None => edges[index].push(any),
                }
            }
            edges[index].extend(body.indirect.iter().map(|ty| functions + *ty as usize));
            edges[index].dedup();
        }
        for function in &survey.table_functions {
            match (*function as usize).checked_sub(imports) {
                Some(defined) => {
                    // Types are compared by structure, as the engine does: two indices may name equal types.
                    let own = &survey.types[survey.functions[defined] as usize];
                    for (ty, _) in survey.types.iter().enumerate().filter(|(_, ty)| *ty == own) {
                        edges[functions + ty].push(defined);
                    }
                    edges[any].push(defined);
                }
                None => {
                    let own = &survey.types[survey.imports[*function as usize].2 as usize];
                    for (ty, _) in survey.types.iter().enumerate().filter(|(_, ty)| *ty == own) {
                        edges[functions + ty].push(any);
                    }
                }
            }
        }
        edges[any].extend(survey.exports.iter().filter_map(|(_, function)| (*function as usize).checked_sub(imports)));
        let mut words: Vec<u64> = survey.bodies.iter().map(|body| body.words).collect();
        words.resize(any + 1, 0);
        Self { edges, words, functions }
    }

    /// A set of functions that every cycle passes through.
    fn cut(&self) -> Vec<bool> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Never,
            Open,
            Closed,
        }
        let mut carriers = vec![false; self.edges.len()];
        let mut seen = vec![Seen::Never; self.edges.len()];
        for root in 0..self.edges.len() {
            if seen[root] != Seen::Never {
                continue;
            }
            let mut path = vec![(root, 0)];
            seen[root] = Seen::Open;
            while let Some((node, next)) = path.last_mut() {
                let Some(&to) = self.edges[*node].get(*next) else {
                    seen[*node] = Seen::Closed;
                    path.pop();
                    continue;
                };
                *next += 1;
                match seen[to] {
                    Seen::Never => {
                        seen[to] = Seen::Open;
                        path.push((to, 0));
                    }
                    // Types and the host are reached by functions only, so where the target is none, the source is one.
                    Seen::Open => carriers[if to < self.functions { to } else { *node }] = true,
                    Seen::Closed => {}
                }
            }
        }
        carriers
    }

    /// Longest chain of frames below each node, not counting carriers and what is below them.
    fn chains(&self, carriers: &[bool]) -> Vec<u64> {
        let mut below = vec![None; self.edges.len()];
        for root in 0..self.edges.len() {
            let mut path = vec![root];
            while let Some(&node) = path.last() {
                if below[node].is_some() {
                    path.pop();
                    continue;
                }
                let open: Vec<usize> = self.edges[node].iter().copied().filter(|to| !carriers[*to] && below[*to].is_none()).collect();
                if open.is_empty() {
                    let longest = self.edges[node].iter().filter(|to| !carriers[**to]).map(|to| self.words[*to] + below[*to].unwrap_or(0));
                    below[node] = Some(longest.max().unwrap_or(0));
                    path.pop();
                } else {
                    path.extend(open);
                }
            }
        }
        below.into_iter().map(Option::unwrap_or_default).collect()
    }
}

impl Depth {
    pub(super) fn of(survey: &Survey) -> Self {
        let graph = Graph::of(survey);
        let carriers = graph.cut();
        let below = graph.chains(&carriers);
        let weights = (0..graph.functions).map(|node| if carriers[node] { graph.words[node] + below[node] } else { 0 }).collect();
        Self { weights }
    }

    /// No function carries the counter.
    pub(super) fn none(survey: &Survey) -> Self {
        Self { weights: vec![0; survey.bodies.len()] }
    }

    /// Words that a function adds, where it carries the counter. A weight over the whole allowance trips at the first call.
    pub(super) fn weight(&self, function: usize) -> Option<i32> {
        match self.weights[function] {
            0 => None,
            words => Some(i32::try_from(words).unwrap_or(i32::MAX).min(1 << 28)),
        }
    }

    /// The carriers and their weights.
    pub(super) fn guarded(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.weights.iter().copied().enumerate().filter(|(_, words)| *words > 0)
    }
}
