//! OpenMLS as a peer of the live tests: see ../../README.md for the requests.

mod member;
mod provider;

fn main() -> mendlink_interop_peer::Result<()> {
    mendlink_interop_peer::serve::<member::Member>()
}
