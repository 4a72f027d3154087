//! The driver's side of large messages: whose content somebody waits for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tidings_proto::Node;
use tidings_proto::identity::ContentId;
use tidings_proto::large::Manifest;
use tidings_proto::pubsub::Delivery;

use crate::large::{Download, Large, Opener, WeakLarge};
use crate::subscription::Contents;

/// Contents of private topics whose keys are remembered, for programs that ask for them by their ids (as many as the core holds
/// contents; some 100 bytes each).
const OPENERS: usize = tidings_proto::large::MAX_CONTENTS;

/// Contents that a program may be reading: those its queues hold, or it holds itself. The bytes are the core's, shared.
#[derive(Default)]
pub(crate) struct Downloads {
    contents: BTreeMap<ContentId, WeakLarge>,
    /// Entries at which those nobody reads any longer are swept out.
    sweep_at: usize,
    /// What opens those of private topics, and in which order that came.
    openers: BTreeMap<ContentId, Arc<Opener>>,
    opened: VecDeque<ContentId>,
}

impl Downloads {
    /// The contents of a delivery's large messages.
    pub(crate) fn of(&mut self, node: &Node, delivery: &Delivery) -> Contents {
        if delivery.batch().header().large().is_empty() {
            return None;
        }
        let large = delivery.messages().enumerate().filter(|(_, m)| m.large);
        let found = large.filter_map(|(i, m)| {
            let manifest = Arc::new(Manifest::decode(&m.payload).ok()?);
            let opener = m.content_key.map(|key| Arc::new(Opener::new(key, delivery.topic(), node.crypto().clone())));
            if let Some(opener) = &opener {
                self.remember(manifest.id(), opener.clone());
            }
            Some((i, self.open(node, &manifest).with(opener)))
        });
        Some(found.collect())
    }

    /// A content that the node has, or is getting.
    pub(crate) fn find(&mut self, node: &Node, id: &ContentId) -> Option<Large> {
        let manifest = node.content(id)?.manifest().clone();
        let opener = self.openers.get(id).cloned();
        if manifest.sealed().is_some() && opener.is_none() {
            return None;
        }
        Some(self.open(node, &manifest).with(opener))
    }

    fn remember(&mut self, id: ContentId, opener: Arc<Opener>) {
        if self.openers.insert(id, opener).is_none() {
            self.opened.push_back(id);
        }
        if self.opened.len() > OPENERS
            && let Some(oldest) = self.opened.pop_front()
        {
            self.openers.remove(&oldest);
        }
    }

    fn open(&mut self, node: &Node, manifest: &Arc<Manifest>) -> Large {
        let id = manifest.id();
        if let Some(open) = self.contents.get(&id).and_then(WeakLarge::upgrade) {
            return open;
        }
        let download = Download::new(manifest.clone());
        match node.content(&id) {
            Some(view) => {
                for (index, bytes) in (0..).zip(view.chunks()) {
                    if let Some(bytes) = bytes {
                        download.chunk(index, bytes.clone());
                    }
                }
                if view.is_complete() {
                    download.complete(view.whole().cloned());
                }
            }
            None => download.lost(),
        }
        let large = Large::new(download);
        if !large.is_settled() {
            if self.contents.len() >= self.sweep_at {
                self.contents.retain(|_, l| l.upgrade().is_some());
                self.sweep_at = self.contents.len() * 2 + 64;
            }
            self.contents.insert(id, large.downgrade());
        }
        large
    }

    /// A chunk came.
    pub(crate) fn chunk(&self, id: &ContentId, index: u32, bytes: Bytes) {
        if let Some(open) = self.contents.get(id).and_then(WeakLarge::upgrade) {
            open.download().chunk(index, bytes);
        }
    }

    /// A content is complete.
    pub(crate) fn complete(&mut self, id: &ContentId, whole: Option<Bytes>) {
        if let Some(open) = self.contents.remove(id).as_ref().and_then(WeakLarge::upgrade) {
            open.download().complete(whole);
        }
    }

    /// A content could not be had.
    pub(crate) fn lost(&mut self, id: &ContentId) {
        if let Some(open) = self.contents.remove(id).as_ref().and_then(WeakLarge::upgrade) {
            open.download().lost();
        }
    }

    /// The node stops: nothing more comes.
    pub(crate) fn end(&mut self) {
        for open in std::mem::take(&mut self.contents).values().filter_map(WeakLarge::upgrade) {
            open.download().lost();
        }
    }
}
