using System.Diagnostics.CodeAnalysis;
using Tandem.Core.Http;
namespace Tandem.Users;
sealed class NoTokens : ITokenVerifier
{
    public bool TryVerify(string token, [NotNullWhen(true)] out Caller? caller) { caller = null; return false; }
}
