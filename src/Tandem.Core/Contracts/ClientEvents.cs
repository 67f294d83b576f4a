using Tandem.Core.Events;

namespace Tandem.Core.Contracts;

/// <summary>A client was registered: people may sign in to it, or it acts for itself.</summary>
/// <param name="ClientId">The client.</param>
/// <param name="CreatedAt">UTC.</param>
[Event("users.client-registered")]
public sealed record ClientRegistered(string ClientId, DateTime CreatedAt);

/// <summary>What is registered of a client was changed. Where it may do less than before, its sessions have ended.</summary>
/// <param name="ClientId">The client.</param>
[Event("users.client-changed")]
public sealed record ClientChanged(string ClientId);

/// <summary>A client was removed; its sessions have ended.</summary>
/// <param name="ClientId">The client.</param>
[Event("users.client-removed")]
public sealed record ClientRemoved(string ClientId);

/// <summary>A person has allowed a client something.</summary>
/// <param name="UserId">The account.</param>
/// <param name="ClientId">The client.</param>
/// <param name="Scopes">All that it is allowed now, separated by blanks.</param>
[Event("users.client-allowed")]
public sealed record ClientAllowed(long UserId, string ClientId, string Scopes);

/// <summary>An authorization code came a second time, with its right verifier: somebody has copied both. The session it made has ended.</summary>
/// <param name="UserId">The account.</param>
/// <param name="ClientId">The client.</param>
/// <param name="SessionId">The session.</param>
[Event("users.code-reused")]
public sealed record CodeReused(long UserId, string ClientId, Guid SessionId);
