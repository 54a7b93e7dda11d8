//! gossipsub with somebody looking over its shoulder.
//!
//! Tells the [`Gate`] whose call is being handled, and reads each connection's inbound stream in gossipsub's place. gossipsub closes a stream
//! on bytes it cannot read (a length above the cap, no protobuf at all), tells nobody, and gives up on the connection after five streams; a
//! peer that goes on writing into the closed stream would stay for ever. Here each such stream costs points and the connection, as does opening
//! a stream again, while an honest peer keeps one per connection. Everything else is delegated; what is read goes to gossipsub unchanged.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::Either;
use futures::{Stream, StreamExt, TryStreamExt};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::gossipsub;
use libp2p::swarm::handler::{ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, FullyNegotiatedInbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::{Gate, Inner};
use crate::peers::Offence;

/// What comes out of gossip.
#[derive(Debug)]
pub(crate) enum Noticed {
    /// What gossipsub says.
    Gossip(gossipsub::Event),
    /// What it does not.
    Offence { peer: PeerId, offence: Offence, times: u32 },
}

/// The behaviour.
pub(crate) struct Watch {
    inner: Inner,
    gate: Gate,
    /// Peers that broke a stream or opened one again, until the swarm asks.
    broken: Vec<PeerId>,
}

impl Watch {
    pub(super) fn new(inner: Inner, gate: Gate) -> Self {
        Self { inner, gate, broken: Vec::new() }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn inner_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

type InnerHandler = <Inner as NetworkBehaviour>::ConnectionHandler;

impl NetworkBehaviour for Watch {
    type ConnectionHandler = Handler;
    type ToSwarm = Noticed;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote).map(Handler::new)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, remote, role, port).map(Handler::new)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::ConnectionClosed(closed) = &event
            && closed.remaining_established == 0
        {
            self.gate.forget(&closed.peer_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            FromHandler::Inner(event) => {
                self.gate.enter(Some(peer));
                self.inner.on_connection_handler_event(peer, connection, event);
                self.gate.enter(None);
            }
            FromHandler::Broken => self.broken.push(peer),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(peer) = self.broken.pop() {
            return Poll::Ready(ToSwarm::GenerateEvent(Noticed::Offence { peer, offence: Offence::Broken, times: 1 }));
        }
        if let Some((peer, offence, times)) = self.gate.noticed() {
            return Poll::Ready(ToSwarm::GenerateEvent(Noticed::Offence { peer, offence, times }));
        }
        self.inner.poll(cx).map(|event| event.map_out(Noticed::Gossip))
    }
}

/// What a connection tells the behaviour.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one, which is moved once")]
pub(crate) enum FromHandler {
    Inner(FromInner),
    Broken,
}

type FromInner = <InnerHandler as ConnectionHandler>::ToBehaviour;

/// gossipsub's handler of one connection, which writes; reading is done here.
pub(crate) struct Handler {
    inner: InnerHandler,
    /// The stream that is read, until it ends or cannot be read.
    reading: Option<Pin<Box<dyn Stream<Item = io::Result<FromInner>> + Send>>>,
    opened: bool,
    broken: u32,
}

impl Handler {
    fn new(inner: InnerHandler) -> Self {
        Self { inner, reading: None, opened: false, broken: 0 }
    }

    /// The next message of the peer. A stream that broke off by itself costs nothing, bytes that are no message do.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<FromInner> {
        let Some(stream) = &mut self.reading else { return Poll::Pending };
        match stream.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(message))) => return Poll::Ready(message),
            Poll::Ready(Some(Err(error))) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    self.broken += 1;
                }
            }
            Poll::Ready(None) => {}
            Poll::Pending => return Poll::Pending,
        }
        // dropping it tells the peer that nobody reads any more
        self.reading = None;
        Poll::Pending
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = <InnerHandler as ConnectionHandler>::FromBehaviour;
    type ToBehaviour = FromHandler;
    type InboundProtocol = <InnerHandler as ConnectionHandler>::InboundProtocol;
    type OutboundProtocol = <InnerHandler as ConnectionHandler>::OutboundProtocol;
    type InboundOpenInfo = <InnerHandler as ConnectionHandler>::InboundOpenInfo;
    type OutboundOpenInfo = <InnerHandler as ConnectionHandler>::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.inner.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        // gossipsub's own part only writes, and each thing it says is of a write: it cannot keep the reading from its turn
        if let Poll::Ready(event) = self.inner.poll(cx) {
            return Poll::Ready(event.map_custom(FromHandler::Inner));
        }
        let read = if self.broken == 0 { self.read(cx) } else { Poll::Pending };
        if let (Poll::Pending, Some(left)) = (&read, self.broken.checked_sub(1)) {
            self.broken = left;
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(FromHandler::Broken));
        }
        read.map(|message| ConnectionHandlerEvent::NotifyBehaviour(FromHandler::Inner(message)))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx).map(|event| event.map(FromHandler::Inner))
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, Self::InboundOpenInfo, Self::OutboundOpenInfo>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                if std::mem::replace(&mut self.opened, true) {
                    self.broken += 1;
                }
                let Either::Left((stream, _)) = protocol;
                self.reading = Some(stream.map_err(io::Error::from).boxed());
            }
            event => self.inner.on_connection_event(event),
        }
    }
}
