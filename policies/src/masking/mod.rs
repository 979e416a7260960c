//! What may leave: transducers that rewrite a response as it streams by, in constant memory.
