//! Tests of the whole: the program as built, against stand-ins and Microsoft's storage emulator.

mod azurite;
mod harness;
