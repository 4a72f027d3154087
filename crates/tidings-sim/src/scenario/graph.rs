//! The graph of an overlay: nodes that are up, and the neighbours that count each other as such.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidings_proto::io::Overlay;
use tidings_proto::rng::Rng;

use crate::network::Network;

/// From how many nodes path lengths are measured.
const SOURCES: usize = 50;
/// Exchanges of two edges' ends, for each edge: ten make a graph random (Milo et al. 2003, "On the uniform generation
/// of random graphs with prescribed degree sequences", find no bias at 100 and little at 10).
const SWAPS: usize = 20;

/// An undirected graph over `0..len`.
pub(super) struct Graph {
    edges: Vec<Vec<usize>>,
}

impl Graph {
    /// An overlay's active views; an edge counts when both ends have it.
    pub(super) fn of(net: &Network, overlay: Overlay) -> Graph {
        let all = net.len() as u32;
        let mut place = vec![usize::MAX; all as usize];
        let alive: Vec<u32> = (0..all).filter(|n| net.node(*n).is_some()).collect();
        for (i, n) in alive.iter().enumerate() {
            place[*n as usize] = i;
        }
        let views: Vec<Vec<usize>> = alive
            .iter()
            .map(|n| {
                let view = net.node(*n).map(|node| node.active_view(overlay)).unwrap_or_default();
                let mut view: Vec<usize> =
                    view.iter().filter_map(|p| net.index(p)).map(|p| place[p as usize]).collect();
                view.retain(|p| *p != usize::MAX);
                view
            })
            .collect();
        let mutual = |i: usize| views[i].iter().copied().filter(|p| views[*p].contains(&i)).collect();
        Graph { edges: (0..alive.len()).map(mutual).collect() }
    }

    fn component(&self, start: usize, seen: &mut [bool]) -> usize {
        let (mut stack, mut size) = (vec![start], 0);
        seen[start] = true;
        while let Some(n) = stack.pop() {
            size += 1;
            for p in &self.edges[n] {
                if !std::mem::replace(&mut seen[*p], true) {
                    stack.push(*p);
                }
            }
        }
        size
    }

    /// The nodes of the largest component.
    pub(super) fn largest(&self) -> usize {
        let mut seen = vec![false; self.edges.len()];
        let starts = 0..self.edges.len();
        starts.map(|n| if seen[n] { 0 } else { self.component(n, &mut seen) }).max().unwrap_or(0)
    }

    /// How many nodes are not in the largest component.
    pub(super) fn apart(&self) -> usize {
        self.edges.len() - self.largest()
    }

    /// The share of the nodes in the largest component.
    pub(super) fn connected(&self) -> f64 {
        if self.edges.is_empty() { 1.0 } else { self.largest() as f64 / self.edges.len() as f64 }
    }

    /// The mean number of links between two nodes, over a sample of sources and whom they reach.
    pub(super) fn path_length(&self, rng: &mut Rng) -> f64 {
        let mut sources: Vec<usize> = (0..self.edges.len()).collect();
        rng.sample(&mut sources, SOURCES);
        let (mut sum, mut count) = (0u64, 0u64);
        for s in sources {
            let mut far = vec![u64::MAX; self.edges.len()];
            far[s] = 0;
            let mut queue = VecDeque::from([s]);
            while let Some(n) = queue.pop_front() {
                for p in &self.edges[n] {
                    if far[*p] == u64::MAX {
                        far[*p] = far[n] + 1;
                        sum += far[*p];
                        count += 1;
                        queue.push_back(*p);
                    }
                }
            }
        }
        sum as f64 / count as f64
    }

    /// The mean share of a node's pairs of neighbours that are neighbours themselves.
    pub(super) fn clustering(&self) -> f64 {
        let (mut sum, mut count) = (0.0, 0usize);
        for of in self.edges.iter().filter(|of| of.len() > 1) {
            let linked: usize = of.iter().map(|a| of.iter().filter(|b| self.edges[*a].contains(b)).count()).sum();
            sum += linked as f64 / (of.len() * (of.len() - 1)) as f64;
            count += 1;
        }
        if count == 0 { 0.0 } else { sum / count as f64 }
    }

    /// A random graph in which every node has as many neighbours as here.
    pub(super) fn shuffled(&self, rng: &mut Rng) -> Graph {
        let mut list: Vec<(usize, usize)> = Vec::new();
        for (a, of) in self.edges.iter().enumerate() {
            list.extend(of.iter().filter(|b| a < **b).map(|b| (a, *b)));
        }
        let order = |a: usize, b: usize| (a.min(b), a.max(b));
        let mut there: BTreeSet<(usize, usize)> = list.iter().copied().collect();
        for _ in 0..list.len() * SWAPS {
            let (i, j) = (rng.below(list.len()), rng.below(list.len()));
            let ((a, b), (c, d)) = (list[i], list[j]);
            let (c, d) = if rng.below(2) == 0 { (c, d) } else { (d, c) };
            let (one, two) = (order(a, d), order(c, b));
            if a == d || c == b || there.contains(&one) || there.contains(&two) {
                continue;
            }
            there.remove(&order(a, b));
            there.remove(&order(c, d));
            there.extend([one, two]);
            (list[i], list[j]) = (one, two);
        }
        let mut edges = vec![Vec::new(); self.edges.len()];
        for (a, b) in list {
            edges[a].push(b);
            edges[b].push(a);
        }
        Graph { edges }
    }
}

/// How unevenly nodes are known: in how many views (active and passive) each is, as the standard deviation over the
/// mean and as the largest over the mean, and the former for views drawn at random.
pub(super) fn in_degree(net: &Network, overlay: Overlay) -> (f64, f64, f64) {
    let mut known: BTreeMap<u32, u64> = BTreeMap::new();
    let alive: Vec<u32> = (0..net.len() as u32).filter(|n| net.node(*n).is_some()).collect();
    for node in alive.iter().filter_map(|n| net.node(*n)) {
        for p in node.active_view(overlay).iter().chain(&node.passive_view(overlay)) {
            if let Some(p) = net.index(p) {
                *known.entry(p).or_default() += 1;
            }
        }
    }
    let count = |n: &u32| known.get(n).copied().unwrap_or(0) as f64;
    let mean = alive.iter().map(count).sum::<f64>() / alive.len() as f64;
    let variance = alive.iter().map(|n| (count(n) - mean).powi(2)).sum::<f64>() / alive.len() as f64;
    let most = alive.iter().map(count).fold(0.0, f64::max);
    (variance.sqrt() / mean, most / mean, mean.sqrt().recip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(n: usize) -> Graph {
        Graph { edges: (0..n).map(|i| vec![(i + 1) % n, (i + n - 1) % n]).collect() }
    }

    #[test]
    fn a_ring_is_one_component_without_triangles() {
        let g = ring(10);
        assert_eq!((g.largest(), g.apart(), g.connected(), g.clustering()), (10, 0, 1.0, 0.0));
        // Distances 1, 1, 2, 2, 3, 3, 4, 4, 5.
        let mut rng = Rng::derive(&[1; 32], "graph", &[]);
        assert!((g.path_length(&mut rng) - 25.0 / 9.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_linked_is_apart() {
        let g = Graph { edges: vec![vec![1], vec![0], vec![3, 4], vec![2, 4], vec![2, 3], vec![]] };
        assert_eq!((g.largest(), g.apart()), (3, 3));
        assert_eq!(g.clustering(), 1.0);
    }

    #[test]
    fn shuffling_keeps_degrees_and_loses_order() {
        // Everybody linked to the three next on each side: paths are long, neighbours know each other.
        let n = 300usize;
        let near = |i: usize| (1..=3).flat_map(move |d| [(i + d) % n, (i + n - d) % n]).collect();
        let g = Graph { edges: (0..n).map(near).collect() };
        let mut rng = Rng::derive(&[1; 32], "graph", &[]);
        let random = g.shuffled(&mut rng);
        assert!(random.edges.iter().all(|e| e.len() == 6));
        assert!((g.clustering() - 0.6).abs() < 1e-9 && random.clustering() < 0.05);
        assert!(g.path_length(&mut rng) > 20.0 && random.path_length(&mut rng) < 4.0);
    }
}
