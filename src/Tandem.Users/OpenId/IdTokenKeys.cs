using Microsoft.IdentityModel.Tokens;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

/// <summary>What ID tokens are signed with: as the client has asked for it.</summary>
sealed class IdTokenKeys(Keys keys, KeyRing ring)
{
    public async ValueTask<SigningCredentials> OfAsync(Client client, CancellationToken ct)
    {
        if (client.IdTokenSignedResponseAlg != NewClient.Rs256)
            return new SigningCredentials(ring.Now.Signing[0].SecurityKey, NewClient.Es256);
        if (ring.Now.Identity.Count == 0)
        {
            // The client was registered a moment ago, perhaps by another process.
            await keys.IdentityAsync(ct);
            await ring.LoadAsync(ct);
        }

        return ring.Now.Identity is [var key, ..]
            ? new SigningCredentials(key.SecurityKey, NewClient.Rs256)
            : throw new InvalidOperationException("The key of RS256 was revoked while it was read; try again.");
    }
}
