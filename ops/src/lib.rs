//! The Channel Equilibrium operator.
