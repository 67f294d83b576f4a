using System.Globalization;
using Tandem.Core.Http;

namespace Tandem.Gateway.Forwarding;

/// <summary>What only the gateway may say about the caller; copies from outside are always dropped.</summary>
static class Identity
{
    public const string Prefix = "X-Tandem-";

    public static IEnumerable<(string Name, string Value)> Of(Caller caller)
    {
        // A client that acts for itself is nobody's account.
        if (caller.AccountId != 0)
            yield return ("X-Tandem-Account", caller.AccountId.ToString(CultureInfo.InvariantCulture));
        if (caller.ClientId is not null)
            yield return ("X-Tandem-Client", caller.ClientId);
        yield return ("X-Tandem-Session", caller.SessionId.ToString());
        if (caller.IsAdministrator)
            yield return ("X-Tandem-Roles", "administrator");
        if (caller.Scopes.Count > 0)
            yield return ("X-Tandem-Scopes", string.Join(' ', caller.Scopes));
    }
}
