using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Events;
using Tandem.Core.Http;

namespace Tandem.Core.Contracts;

/// <summary>What a person is in an organisation. Each may do what those before it may.</summary>
public enum OrganisationRole
{
    /// <summary>Sees the organisation and who belongs to it.</summary>
    Member,
    /// <summary>Invites, and puts members and admins in and out.</summary>
    Admin,
    /// <summary>Everything. Of these there is always one.</summary>
    Owner,
}

/// <summary>Who belongs where; implemented by the users module.</summary>
public interface IOrganisations
{
    /// <summary>What an account is in an organisation at this moment; one read by key.</summary>
    /// <returns>Null when it does not belong to it, or there is no such organisation.</returns>
    /// <exception cref="Data.StoreUnavailableException">The database does not answer.</exception>
    Task<OrganisationRole?> RoleAsync(Guid organisationId, long accountId, CancellationToken cancellationToken);
}

/// <summary>An organisation was made; its first owner follows as <see cref="MemberAdded"/>.</summary>
/// <param name="OrganisationId">The organisation.</param>
[Event("users.organisation-created")]
public sealed record OrganisationCreated(Guid OrganisationId);

/// <summary>An organisation was deleted, and nobody belongs to it any more.</summary>
/// <param name="OrganisationId">The organisation.</param>
[Event("users.organisation-deleted")]
public sealed record OrganisationDeleted(Guid OrganisationId);

/// <summary>Somebody belongs to an organisation now.</summary>
/// <param name="OrganisationId">The organisation.</param>
/// <param name="UserId">The account.</param>
/// <param name="Role">member, admin or owner.</param>
[Event("users.member-added")]
public sealed record MemberAdded(Guid OrganisationId, long UserId, OrganisationRole Role);

/// <summary>A member has another role.</summary>
/// <param name="OrganisationId">The organisation.</param>
/// <param name="UserId">The account.</param>
/// <param name="Role">The new one.</param>
[Event("users.member-role-changed")]
public sealed record MemberRoleChanged(Guid OrganisationId, long UserId, OrganisationRole Role);

/// <summary>Somebody belongs to an organisation no more.</summary>
/// <param name="OrganisationId">The organisation.</param>
/// <param name="UserId">The account.</param>
[Event("users.member-removed")]
public sealed record MemberRemoved(Guid OrganisationId, long UserId);

/// <summary>Opens endpoints to the members of the organisation that their address names.</summary>
public static class OrganisationConventions
{
    /// <summary>
    /// Only for members of the organisation in the route value <c>organisation</c> (its id) with this role or a higher one. Others get 404, as if it did not exist; members with a
    /// lower role 403; so it is for administrators of the program. Looked up for each request, so that it holds from the moment that somebody is out.
    /// </summary>
    public static TBuilder RequireOrganisationRole<TBuilder>(this TBuilder builder, OrganisationRole role = OrganisationRole.Member) where TBuilder : IEndpointConventionBuilder =>
        builder.AddEndpointFilter(async (context, next) =>
        {
            var http = context.HttpContext;
            if (http.Features.Get<Caller>() is not { } caller || !Guid.TryParse(Convert.ToString(http.Request.RouteValues["organisation"], CultureInfo.InvariantCulture), out var organisation)
                || await http.RequestServices.GetRequiredService<IOrganisations>().RoleAsync(organisation, caller.AccountId, http.RequestAborted) is not { } actual)
                return Problem.Of(HttpProblems.NotFound, "There is no such organisation, or you do not belong to it.");
            return actual >= role
                ? await next(context)
                : Problem.Of(HttpProblems.Forbidden, $"It takes the role {role.ToString().ToLowerInvariant()} in the organisation; yours is {actual.ToString().ToLowerInvariant()}.");
        }).Answers(HttpProblems.NotFound);
}
