using Tandem.Core.Http;

namespace Tandem.Realtime;

static class RealtimeProblems
{
    public static readonly Problem UpgradeRequired = new("realtime/upgrade-required", 426, "This address speaks WebSocket: open it as ws://…/ws/{client_id}.");
    public static readonly Problem Full = new("realtime/full", 503, "This server holds as many sockets as Realtime:MaxConnections allows; try again in a moment.");
}
