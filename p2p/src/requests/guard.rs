//! libp2p's request-response with our framing, and with somebody who notices whose request could not be read.
//!
//! libp2p drops a request that the codec refuses and tells nobody, and it never tells the codec whose stream it reads. But it makes a copy of
//! the codec for every connection, while [`Guard`] knows the peer: the copy keeps it ([`Exchange::clone`]).

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::request_response::{self, Codec};
use libp2p::swarm::{ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use parking_lot::Mutex;

use super::bad_frame;
use crate::peers::Offence;
use crate::wire::{self, BadFrame, Budget, Kind, Status};

/// Offences noticed by streams, which run in tasks of their own. Bounded by connected peers times two.
#[derive(Default)]
struct Shared {
    /// The peer whose connection is being set up.
    current: Option<PeerId>,
    noticed: BTreeMap<(PeerId, Offence), u32>,
}

/// Puts frames of [`wire`] on libp2p's streams.
pub(crate) struct Exchange {
    budget: Budget,
    shared: Arc<Mutex<Shared>>,
    /// Whose connection this copy serves; `None` in the behaviour's own.
    peer: Option<PeerId>,
    /// What this copy's stream asked for, so that the answer's cap is known.
    asked: Option<Kind>,
}

impl Clone for Exchange {
    fn clone(&self) -> Self {
        let peer = self.peer.or_else(|| self.shared.lock().current);
        Self { budget: self.budget.clone(), shared: Arc::clone(&self.shared), peer, asked: None }
    }
}

impl Exchange {
    /// What a broken frame costs.
    pub(crate) fn offence(bad: BadFrame) -> Offence {
        if matches!(bad, BadFrame::Oversize { .. }) { Offence::Oversize } else { Offence::Malformed }
    }

    fn notice(&self, error: &io::Error) {
        if let (Some(peer), Some(bad)) = (self.peer, bad_frame(error)) {
            let mut shared = self.shared.lock();
            let times = shared.noticed.entry((peer, Self::offence(bad))).or_default();
            *times = times.saturating_add(1);
        }
    }
}

impl Codec for Exchange {
    type Protocol = StreamProtocol;
    type Request = (Kind, Bytes);
    type Response = (Status, Bytes);

    async fn read_request<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<(Kind, Bytes)> {
        let read = wire::read_request(io, &self.budget).await;
        if let Err(error) = &read {
            self.notice(error);
        }
        read
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<(Status, Bytes)> {
        let kind = self.asked.ok_or_else(|| io::Error::other("an answer without a question"))?;
        wire::read_answer(io, kind, &self.budget).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        (kind, data): (Kind, Bytes),
    ) -> io::Result<()> {
        self.asked = Some(kind);
        wire::write_request(io, kind, &data).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        (status, data): (Status, Bytes),
    ) -> io::Result<()> {
        wire::write_answer(io, status, &data).await
    }
}

type Inner = request_response::Behaviour<Exchange>;

/// What comes out of requests and answers.
#[derive(Debug)]
pub(crate) enum Exchanged {
    /// What libp2p says.
    Event(<Inner as NetworkBehaviour>::ToSwarm),
    /// What it does not.
    Offence { peer: PeerId, offence: Offence, times: u32 },
}

/// The behaviour.
pub(crate) struct Guard {
    inner: Inner,
    shared: Arc<Mutex<Shared>>,
}

impl Guard {
    pub(crate) fn new(budget: Budget, protocol: StreamProtocol, config: request_response::Config) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let codec = Exchange { budget, shared: Arc::clone(&shared), peer: None, asked: None };
        Self { inner: Inner::with_codec(codec, [(protocol, request_response::ProtocolSupport::Full)], config), shared }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }

    fn of<T>(&mut self, peer: PeerId, set_up: impl FnOnce(&mut Inner) -> T) -> T {
        self.shared.lock().current = Some(peer);
        let done = set_up(&mut self.inner);
        self.shared.lock().current = None;
        done
    }
}

impl NetworkBehaviour for Guard {
    type ConnectionHandler = <Inner as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = Exchanged;

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
        self.of(peer, |inner| inner.handle_established_inbound_connection(connection, peer, local, remote))
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
        self.of(peer, |inner| inner.handle_established_outbound_connection(connection, peer, remote, role, port))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(((peer, offence), times)) = self.shared.lock().noticed.pop_first() {
            return Poll::Ready(ToSwarm::GenerateEvent(Exchanged::Offence { peer, offence, times }));
        }
        self.inner.poll(cx).map(|event| event.map_out(Exchanged::Event))
    }
}
