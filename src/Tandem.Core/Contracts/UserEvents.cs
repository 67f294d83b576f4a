using Tandem.Core.Events;

namespace Tandem.Core.Contracts;

/// <summary>Somebody has signed up, or was created by an administrator.</summary>
/// <param name="UserId">The account.</param>
/// <param name="CreatedAt">UTC.</param>
[Event("users.user-registered")]
public sealed record UserRegistered(long UserId, DateTime CreatedAt);

/// <summary>The name of an account was changed.</summary>
/// <param name="UserId">The account.</param>
[Event("users.user-renamed")]
public sealed record UserRenamed(long UserId);

/// <summary>An account was deactivated; its sessions have ended.</summary>
/// <param name="UserId">The account.</param>
[Event("users.user-deactivated")]
public sealed record UserDeactivated(long UserId);

/// <summary>An account was activated again.</summary>
/// <param name="UserId">The account.</param>
[Event("users.user-activated")]
public sealed record UserActivated(long UserId);

/// <summary>A refresh token was used again after its successor: somebody copied it. Its session has ended.</summary>
/// <param name="UserId">The account.</param>
/// <param name="SessionId">The session.</param>
[Event("users.refresh-token-replayed")]
public sealed record RefreshTokenReplayed(long UserId, Guid SessionId);

/// <summary>An account was deleted with everything that only concerned it.</summary>
/// <param name="UserId">The account.</param>
[Event("users.user-deleted")]
public sealed record UserDeleted(long UserId);
