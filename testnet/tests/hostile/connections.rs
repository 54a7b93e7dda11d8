//! F23: connections that lead to nothing. They wait in a bounded place, are closed when no handshake comes, and cost nobody else anything.

use std::net::TcpStream;
use std::time::Duration;

use ao_p2p::limits::PENDING_IN_MAX;
use ao_testnet::network::Plan;
use ao_testnet::wait;

use crate::attacker::Target;

/// Sockets that are opened and say nothing.
const SILENT: usize = 400;

/// Descriptors that a node may need for other things meanwhile.
const OTHERS: usize = 48;

/// Only a failure takes so long; a handshake has ten seconds.
const SOON: Duration = Duration::from_secs(120);

/// Whether the other side has closed.
fn is_closed(socket: &TcpStream) -> bool {
    let mut byte = [0];
    match socket.peek(&mut byte) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_say_nothing_are_few_and_closed_soon() {
    let network = Plan::new("attest", 4).start().await.unwrap();
    let target = Target::of(&network, 0).unwrap();
    let node = network.node(0).unwrap();
    let before = node.open_files().unwrap();
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let socket = TcpStream::connect(("127.0.0.1", target.port())).unwrap();
        socket.set_nonblocking(true).unwrap();
        silent.push(socket);
    }
    // More than those that may wait are closed at once; the kernel's own queue holds some that the node has not looked at.
    let closed =
        || async { Ok((silent.iter().filter(|socket| is_closed(socket)).count() >= SILENT - PENDING_IN_MAX as usize).then_some(())) };
    wait::until("what is too much is closed", SOON, closed).await.unwrap();
    let open = node.open_files().unwrap();
    assert!(open <= before + PENDING_IN_MAX as usize + OTHERS, "{open} descriptors, {before} before");
    let closed = || async { Ok(silent.iter().all(is_closed).then_some(())) };
    wait::until("who says nothing is sent away", SOON, closed).await.unwrap();
    // Who was connected still is, and who comes is let in.
    network.connected().await.unwrap();
    let mut stranger = target.stranger().await;
    assert!(stranger.turn().await);
    let mut network = network;
    network.stop_all().await.unwrap();
}
