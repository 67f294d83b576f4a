using System.Diagnostics;
using System.Reflection;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;

namespace Tandem.Users.Audit;

/// <summary>Who does something, and from where, as the audit trail tells it. A handler takes it as a parameter.</summary>
/// <param name="Actor">One of the constants here.</param>
/// <param name="ActorId">The account, of a user; of an impersonator the administrator's.</param>
/// <param name="CredentialId">The session or API key it was done with.</param>
/// <param name="Network">See <see cref="ClientNetwork"/>.</param>
/// <param name="UserAgent">See <see cref="Users.UserAgent"/>.</param>
/// <param name="TraceId">Finds the request in log and traces.</param>
sealed record Origin(string Actor, long? ActorId, Guid? CredentialId, string? Network, string? UserAgent, string? TraceId)
{
    /// <summary>Somebody with an account.</summary>
    public const string User = "user";

    /// <summary>An administrator who acts as somebody else.</summary>
    public const string Impersonator = "impersonator";

    /// <summary>Nobody is signed in.</summary>
    public const string Anonymous = "anonymous";

    /// <summary>Whoever has the command line and the configuration.</summary>
    public const string OperatorName = "operator";

    /// <summary>A client of OAuth that acts for itself, or exchanges what a person has given it.</summary>
    public const string Client = "client";

    /// <summary>Nobody: the time has come.</summary>
    public static readonly Origin Schedule = new("schedule", null, null, null, null, null);

    /// <summary>The command line, or the configuration at start.</summary>
    public static readonly Origin Operator = new(OperatorName, null, null, null, null, null);

    /// <summary>Of a request, with the caller that the edge has found.</summary>
    public static Origin Of(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var trace = Activity.Current?.TraceId.ToString() ?? context.TraceIdentifier;
        var origin = new Origin(Anonymous, null, null, ClientNetwork.Of(context), Users.UserAgent.FamilyOf(context.Request.Headers.UserAgent.ToString()), trace);
        return context.Features.Get<Caller>() switch
        {
            null => origin,
            { ImpersonatorId: { } administrator } caller => origin with { Actor = Impersonator, ActorId = administrator, CredentialId = caller.SessionId },
            var caller => origin.As(caller.AccountId, caller.SessionId),
        };
    }

    /// <summary>The same place, by an account; by a client where that is 0.</summary>
    public Origin As(long accountId, Guid credential) => accountId == 0 ? AsClient(credential) : this with { Actor = User, ActorId = accountId, CredentialId = credential };

    /// <summary>The same place, by a client.</summary>
    /// <param name="credential">The session that it has, or that it was given its code in.</param>
    public Origin AsClient(Guid credential) => this with { Actor = Client, ActorId = null, CredentialId = credential };

    /// <summary>Called by the framework to fill a handler's parameter.</summary>
    public static ValueTask<Origin?> BindAsync(HttpContext httpContext, ParameterInfo parameter) => ValueTask.FromResult<Origin?>(Of(httpContext));
}
