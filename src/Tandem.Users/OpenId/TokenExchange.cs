using System.Security.Claims;
using System.Text.Json;
using System.Text.Json.Nodes;
using OpenIddict.Abstractions;
using Tandem.Users.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.OpenId;

/// <summary>The rules of token exchange (RFC 8693): what a token may become, and who says that it acts.</summary>
static class TokenExchange
{
    public const string ActorClaim = "act";
    public const string GrantedProperty = "tandem:granted";

    // Services that call services that call services: more is a circle, and a token has to fit into a header.
    const int MaxActors = 4;

    /// <summary>Says what of the request is not taken. OpenIddict has checked the rest.</summary>
    public static ValueTask Refuse(ValidateTokenRequestContext context)
    {
        if (!context.Request.IsTokenExchangeGrantType())
            return ValueTask.CompletedTask;
        if (!string.IsNullOrEmpty(context.Request.ActorToken))
            context.Reject(Errors.InvalidRequest, "actor_token is not taken: the client that asks is the actor.");
        else if (context.Request.GetAudiences().Length + context.Request.GetResources().Length > 0)
            context.Reject(Errors.InvalidTarget, "audience and resource are not taken: what a token is for, its scopes say.");
        return ValueTask.CompletedTask;
    }

    /// <summary>
    /// OpenIddict has a token exchanged by the client that it was made for, and by those that it names as its audience. A token for the API was made to be shown to what stands behind it: which clients are that, an
    /// administrator has said by registering them for this grant.
    /// </summary>
    public static ValueTask Admit(ValidateTokenRequestContext context)
    {
        if (context.Request.IsTokenExchangeGrantType() && context.SubjectTokenPrincipal is { } subject && context.ClientId is { } client && subject.HasAudience(TokenServer.Audience))
            subject.SetPresenters(subject.GetPresenters().Add(client));
        return ValueTask.CompletedTask;
    }

    /// <summary>What a token may be exchanged for. One without scopes is the person's own: of it there is all that a person may allow a client, and no right of an administrator.</summary>
    public static IEnumerable<string> ScopesOf(ClaimsPrincipal subject)
    {
        var named = subject.GetScopes().Remove(Scopes.OfflineAccess);
        return named.IsEmpty ? ClientScopes.Personal.Where(s => s != Scopes.OfflineAccess) : named;
    }

    /// <summary>Who acts now, and for whom that one has acted before (4.1).</summary>
    /// <returns>Null when there are too many.</returns>
    public static JsonElement? Actor(string clientId, string? before)
    {
        var actor = new JsonObject { [Claims.Subject] = clientId };
        if (before is not null)
        {
            var last = JsonNode.Parse(before);
            actor[ActorClaim] = last;
            var count = 1;
            for (; last is JsonObject one; last = one[ActorClaim])
                count++;
            if (count > MaxActors)
                return null;
        }

        return JsonSerializer.SerializeToElement(actor);
    }
}
