//! The record of an exchange and the chain that binds records together.
