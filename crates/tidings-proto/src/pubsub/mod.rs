//! Publish and subscribe: signed batches over Plumtree.

mod batch;

pub use batch::{
    Batch, BatchError, BatchHeader, BatchKey, Delivery, MAX_BODY, MAX_HEADERS, MAX_MESSAGE, MAX_MESSAGES, MessageView,
    Peeked, Position,
};
