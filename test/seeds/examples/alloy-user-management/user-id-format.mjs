// Good patterns
`${companyId}_${userId}`
`${environment}_${tenantId}_${userId}`
`team_${department}_${username}`
