//go:debug default=go1.24
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gin-gonic/gin/binding"
	"github.com/go-playground/validator/v10"
	"github.com/go-playground/validator/v10/non-standard/validators"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"golang.org/x/crypto/argon2"
)

// What a Gin program has of the contract's users and items. The database is behind Store: backend_gin_pgx.go or backend_gin_sqlite.go.

type User struct {
	ID        int64     `json:"id"`
	Email     string    `json:"email"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	IsActive  bool      `json:"is_active"`
}

type Item struct {
	ID    int64   `json:"id"`
	Name  string  `json:"name"`
	Price float64 `json:"price"`
}

type NewItem struct {
	Name  *string  `json:"name" binding:"required"`
	Price *float64 `json:"price" binding:"required"`
}

type UserChange struct {
	Name     *string `json:"name" binding:"omitempty,notblank,max=200"`
	IsActive *bool   `json:"is_active"`
}

type Page struct {
	Skip  int `form:"skip,default=0" binding:"min=0"`
	Limit int `form:"limit,default=10" binding:"min=1,max=100"`
}

type NewUser struct {
	Email    string `json:"email" binding:"required,email,max=254"`
	Name     string `json:"name" binding:"required,notblank,max=200"`
	Password string `json:"password" binding:"required,min=8,max=256"`
}

type Credentials struct {
	ID       int64
	Hash     string
	IsActive bool
	IsAdmin  bool
}

var (
	ErrNotFound = errors.New("not found")
	ErrTaken    = errors.New("taken")
)

type Store interface {
	User(ctx context.Context, id int64) (User, error)
	Users(ctx context.Context, skip, limit int) ([]User, error)
	ChangeUser(ctx context.Context, id int64, change UserChange) (User, error)
	AddItem(ctx context.Context, item NewItem) (Item, error)
	AddUser(ctx context.Context, email, name, hash string) (User, error)
	Credentials(ctx context.Context, email string) (Credentials, error)
	AddRefreshToken(ctx context.Context, user int64, hash []byte, expires time.Time) error
}

type Claims struct {
	jwt.RegisteredClaims
	Role string `json:"role,omitempty"`
}

const (
	issuer   = "http://localhost/"
	audience = "tandem"
)

type Server struct {
	store  Store
	key    *ecdsa.PrivateKey
	parser *jwt.Parser
}

func main() {
	log.SetFlags(0)
	port, database, keyFile := os.Args[1], os.Args[2], os.Args[3]
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		log.Fatal(err)
	}
	key, err := jwt.ParseECPrivateKeyFromPEM(pem)
	if err != nil {
		log.Fatal(err)
	}
	store, err := Open(context.Background(), database)
	if err != nil {
		log.Fatal(err)
	}
	if v, ok := binding.Validator.Engine().(*validator.Validate); ok {
		if err := v.RegisterValidation("notblank", validators.NotBlank); err != nil {
			log.Fatal(err)
		}
	}
	s := &Server{store, key, jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired())}

	router := gin.New()
	router.Use(gin.Recovery())
	router.GET("/health", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "healthy"}) })
	router.POST("/token", s.signIn)
	router.POST("/users", s.signUp)
	signedIn := router.Group("/", s.authenticate)
	signedIn.GET("/users", s.listUsers)
	signedIn.GET("/users/:id", s.getUser)
	signedIn.PATCH("/users/:id", s.changeUser)
	signedIn.POST("/items", s.addItem)
	signedIn.GET("/ws/:client_id", s.echo)
	log.Fatal(router.Run("127.0.0.1:" + port))
}

func (s *Server) authenticate(c *gin.Context) {
	text, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
	claims := &Claims{}
	if ok {
		_, err := s.parser.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return &s.key.PublicKey, nil })
		ok = err == nil
	}
	if !ok {
		c.Header("WWW-Authenticate", "Bearer")
		fail(c, http.StatusUnauthorized, "Not authenticated")
		return
	}
	c.Set("claims", claims)
}

func (s *Server) listUsers(c *gin.Context) {
	var page Page
	if err := c.ShouldBindQuery(&page); err != nil {
		fail(c, http.StatusUnprocessableEntity, err.Error())
		return
	}
	if c.MustGet("claims").(*Claims).Role != "admin" {
		fail(c, http.StatusForbidden, "Forbidden")
		return
	}
	users, err := s.store.Users(c.Request.Context(), page.Skip, page.Limit)
	answer(c, http.StatusOK, users, err)
}

func (s *Server) getUser(c *gin.Context) {
	id, ok := mayAccess(c)
	if !ok {
		return
	}
	user, err := s.store.User(c.Request.Context(), id)
	answer(c, http.StatusOK, user, err)
}

func (s *Server) changeUser(c *gin.Context) {
	id, ok := mayAccess(c)
	if !ok {
		return
	}
	var change UserChange
	if err := c.ShouldBindJSON(&change); err != nil {
		fail(c, http.StatusUnprocessableEntity, err.Error())
		return
	}
	if change.IsActive != nil && c.MustGet("claims").(*Claims).Role != "admin" {
		fail(c, http.StatusForbidden, "Forbidden")
		return
	}
	user, err := s.store.ChangeUser(c.Request.Context(), id, change)
	answer(c, http.StatusOK, user, err)
}

func (s *Server) addItem(c *gin.Context) {
	var item NewItem
	if err := c.ShouldBindJSON(&item); err != nil {
		fail(c, http.StatusUnprocessableEntity, err.Error())
		return
	}
	added, err := s.store.AddItem(c.Request.Context(), item)
	answer(c, http.StatusCreated, added, err)
}

var upgrader = websocket.Upgrader{}

func (s *Server) echo(c *gin.Context) {
	// An upgrade that cannot be is answered by the upgrader.
	socket, err := upgrader.Upgrade(c.Writer, c.Request, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	for {
		kind, message, err := socket.ReadMessage()
		if err != nil {
			return
		}
		if err := socket.WriteMessage(kind, append([]byte("Echo: "), message...)); err != nil {
			return
		}
	}
}

func (s *Server) signIn(c *gin.Context) {
	who, err := s.store.Credentials(c.Request.Context(), strings.ToLower(c.PostForm("username")))
	if err != nil && !errors.Is(err, ErrNotFound) {
		answer(c, http.StatusOK, nil, err)
		return
	}
	if err != nil || !verify(c.PostForm("password"), who.Hash) || !who.IsActive {
		c.AbortWithStatusJSON(http.StatusBadRequest, gin.H{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	claims := Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: strconv.FormatInt(who.ID, 10), Issuer: issuer, Audience: jwt.ClaimStrings{audience},
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(24 * time.Hour))}}
	if who.IsAdmin {
		claims.Role = "admin"
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(s.key)
	if err != nil {
		answer(c, http.StatusOK, nil, err)
		return
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	refresh := base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(refresh))
	err = s.store.AddRefreshToken(c.Request.Context(), who.ID, hash[:], now.Add(30*24*time.Hour))
	answer(c, http.StatusOK, gin.H{"access_token": token, "token_type": "bearer", "expires_in": 24 * 60 * 60, "refresh_token": refresh}, err)
}

func (s *Server) signUp(c *gin.Context) {
	var user NewUser
	if err := c.ShouldBindJSON(&user); err != nil {
		fail(c, http.StatusUnprocessableEntity, err.Error())
		return
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	hash := fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt),
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(user.Password), salt, 2, 19456, 1, 32)))
	added, err := s.store.AddUser(c.Request.Context(), strings.ToLower(user.Email), user.Name, hash)
	answer(c, http.StatusCreated, added, err)
}

// mayAccess gives the id of the path to itself and to administrators.
func mayAccess(c *gin.Context) (int64, bool) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		fail(c, http.StatusUnprocessableEntity, "id must be a whole number")
		return 0, false
	}
	claims := c.MustGet("claims").(*Claims)
	if claims.Role != "admin" && claims.Subject != c.Param("id") {
		fail(c, http.StatusForbidden, "Forbidden")
		return 0, false
	}
	return id, true
}

// verify checks a password against a hash in PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash
func verify(password, phc string) bool {
	parts := strings.Split(phc, "$")
	var memory, passes uint32
	var lanes uint8
	if len(parts) != 6 {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	hash, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return false
	}
	return subtle.ConstantTimeCompare(argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(hash))), hash) == 1
}

func answer(c *gin.Context, status int, body any, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		fail(c, http.StatusNotFound, "User not found")
	case errors.Is(err, ErrTaken):
		fail(c, http.StatusBadRequest, "Email already registered")
	case err != nil:
		log.Print(err)
		fail(c, http.StatusInternalServerError, "Internal server error")
	default:
		c.JSON(status, body)
	}
}

func fail(c *gin.Context, status int, detail string) {
	c.AbortWithStatusJSON(status, gin.H{"detail": detail})
}
